"""Batch norm that sees a mini-batch in parts, of one process or of several.

The paper's CIFAR networks were trained with 128 images on two GPUs (§4.2), where batch norm
saw 64 each. How many parts there are moves the curve; how many processes share them does not.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F


class PartedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose mini-batch is normalised in equal parts, or is itself one of the parts.

    Running statistics are the mean over all parts. Evaluation is `nn.BatchNorm2d`'s, and so
    are names and shapes of parameters and buffers.

    Args:
        like: The batch norm whose parameters and buffers this one takes over.
        parts: Equal parts of consecutive images that are normalised apart.
        group: Processes that have one part together; its statistics are then over all their
            images. (torch's `SyncBatchNorm` does this on GPUs, but not on CPUs.)
    """

    def __init__(self, like: nn.BatchNorm2d, parts: int = 1, group: Any = None) -> None:
        super().__init__(like.num_features, like.eps, like.momentum)
        self.weight, self.bias = like.weight, like.bias
        for name, buffer in like.named_buffers():
            self.register_buffer(name, buffer)
        self.parts = parts
        self.group = group

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps `(N, C, H, W)` to the same shape; while training, `parts` divides N."""
        if not self.training:
            return super().forward(x)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked += 1
        return self._apart(x) if self.group is None else self._together(x)

    def _apart(self, x: torch.Tensor) -> torch.Tensor:
        """Parts become channels: the channels of each part are normalised for themselves."""
        assert self.running_mean is not None
        assert self.running_var is not None
        images, channels, height, width = x.shape
        each = images // self.parts
        beside = x.reshape(self.parts, each, channels, height, width).transpose(0, 1)
        mean, variance = self.running_mean.repeat(self.parts), self.running_var.repeat(self.parts)
        y = F.batch_norm(
            beside.reshape(each, self.parts * channels, height, width),
            mean,
            variance,
            self.weight.repeat(self.parts),
            self.bias.repeat(self.parts),
            training=True,
            momentum=self.momentum or 0.0,
            eps=self.eps,
        )
        with torch.no_grad():
            self.running_mean.copy_(mean.view(self.parts, channels).mean(0))
            self.running_var.copy_(variance.view(self.parts, channels).mean(0))
        return y.view(each, self.parts, channels, height, width).transpose(0, 1).reshape(x.shape)

    def _together(self, x: torch.Tensor) -> torch.Tensor:
        """Mean and variance over the images of all processes of the group."""
        assert self.running_mean is not None
        assert self.running_var is not None
        count = x.numel() // x.shape[1] * dist.get_world_size(self.group)
        inputs = x.float()
        mean = _Total.apply(inputs.sum((0, 2, 3)), self.group) / count
        centred = inputs - mean[:, None, None]
        # Of the differences, not of the squares: those would cancel in float32.
        variance = _Total.apply(centred.square().sum((0, 2, 3)), self.group) / count
        with torch.no_grad():
            momentum = self.momentum or 0.0
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        y = centred * scale[:, None, None] + self.bias[:, None, None]
        result: torch.Tensor = y.to(x.dtype)
        return result


class _Total(torch.autograd.Function):
    """A tensor's sum over a group of processes; each one's loss depends on it."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, group: Any) -> torch.Tensor:
        ctx.group = group
        result = tensor.clone()
        dist.all_reduce(result, group=group)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        result = gradient.clone()
        dist.all_reduce(result, group=ctx.group)
        return result, None


def normalise_in_parts(network: nn.Module, parts: int, group: Any = None) -> None:
    """Replaces each batch norm of a network by one that sees parts; arguments as there."""
    for name, child in network.named_children():
        if type(child) is nn.BatchNorm2d:
            setattr(network, name, PartedBatchNorm2d(child, parts, group))
        else:
            normalise_in_parts(child, parts, group)

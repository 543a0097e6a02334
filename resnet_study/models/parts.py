"""Batch norm that normalises parts of a mini-batch separately, in one process or several.

The paper's CIFAR networks were trained with 128 images on two GPUs (§4.2), where batch norm
saw 64 each. The number of parts moves the curve; the number of processes does not.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F


class PartedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm that normalises equal parts of its mini-batch, or shares a part with others.

    Running statistics are the mean over all parts. Evaluation, and names and shapes of
    parameters and buffers, are those of `nn.BatchNorm2d`.

    Args:
        like: The batch norm whose parameters and buffers this one takes over.
        parts: Number of equal parts, each of consecutive images.
        group: Processes that share one part, whose statistics are over the images of all of
            them. (torch's `SyncBatchNorm` does this on GPUs only.)
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
        """Turns parts into channels, so that each part has statistics of its own."""
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
        """Normalises by mean and variance over the images of all processes in the group."""
        assert self.running_mean is not None
        assert self.running_var is not None
        count = x.numel() // x.shape[1] * dist.get_world_size(self.group)
        inputs = x.float()
        mean = _Total.apply(inputs.sum((0, 2, 3)), self.group) / count
        centred = inputs - mean[:, None, None]
        # From differences, since a difference of squares would lose precision in float32.
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
    """The sum of a tensor over a process group, on which the loss of each process depends."""

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
    """Replaces each batch norm of a network; see `PartedBatchNorm2d` for the arguments."""
    for name, child in network.named_children():
        if type(child) is nn.BatchNorm2d:
            setattr(network, name, PartedBatchNorm2d(child, parts, group))
        else:
            normalise_in_parts(child, parts, group)

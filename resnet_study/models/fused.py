"""Batch norm, addition of the shortcut and ReLU in one kernel, for the CPU.

Torch needs three to four passes over memory forwards and as many backwards; this needs two and
two, and on a CPU memory is the bottleneck of these networks. Results equal torch's up to
rounding; in bf16 they are rounded once, where torch rounds three times. There is no second
derivative.
"""

import ctypes
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from resnet_study.models import kernels

_NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16"}


def applies(norm: nn.Module, x: torch.Tensor, shortcut: torch.Tensor | None) -> bool:
    """Whether the kernels exist and apply: on a CPU, float32 or bfloat16, channels innermost."""
    return (
        type(norm) is nn.BatchNorm2d
        and x.device.type == "cpu"
        and x.dtype in _NAMES
        and norm.momentum is not None
        and all(
            t is not None
            and t.dtype == torch.float32
            and t.device == x.device
            and t.is_contiguous()
            for t in (norm.weight, norm.bias, norm.running_mean, norm.running_var)
        )
        # A single pixel has no variance; torch raises an error.
        and (x.numel() > x.shape[1] if norm.training else not torch.is_grad_enabled())
        and x.is_contiguous(memory_format=torch.channels_last)
        and (shortcut is None or (shortcut.dtype == x.dtype and shortcut.shape == x.shape))
        and kernels.load() is not None
    )


def normalise_add_relu(
    norm: nn.BatchNorm2d, x: torch.Tensor, shortcut: torch.Tensor | None = None
) -> torch.Tensor:
    """`relu(norm(x) + shortcut)`, for inputs to which the kernels apply.

    Args:
        norm: In training mode its running statistics are updated; in evaluation mode they
            are used, and there is no gradient.
        x: `(N, C, H, W)`, in channels-last format.
        shortcut: A tensor of the same shape, or None.
    """
    if shortcut is not None:
        shortcut = shortcut.contiguous(memory_format=torch.channels_last)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    if not norm.training:
        return _apply(norm, x, shortcut, norm.running_mean, norm.running_var)
    mean, variance = torch.empty_like(norm.running_mean), torch.empty_like(norm.running_var)
    pixels, channels = x.numel() // x.shape[1], x.shape[1]
    _kernel("statistics", x)(
        torch.get_num_threads(), x.data_ptr(), pixels, channels, mean.data_ptr(),
        variance.data_ptr(), norm.running_mean.data_ptr(), norm.running_var.data_ptr(),
        norm.momentum,
    )  # fmt: skip
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked += 1
    y: torch.Tensor = _NormaliseAddRelu.apply(
        x, shortcut, norm.weight, norm.bias, mean, variance, norm
    )
    return y


def _kernel(name: str, x: torch.Tensor) -> Any:
    library = kernels.load()
    assert isinstance(library, ctypes.CDLL)
    return getattr(library, f"{name}_{_NAMES[x.dtype]}")


def _apply(
    norm: nn.BatchNorm2d,
    x: torch.Tensor,
    shortcut: torch.Tensor | None,
    mean: torch.Tensor,
    variance: torch.Tensor,
) -> torch.Tensor:
    y = torch.empty_like(x)
    added = None if shortcut is None else shortcut.data_ptr()
    _kernel("apply", x)(
        torch.get_num_threads(), x.data_ptr(), added, y.data_ptr(), x.numel() // x.shape[1],
        x.shape[1],
        norm.weight.data_ptr(), norm.bias.data_ptr(), mean.data_ptr(), variance.data_ptr(),
        norm.eps,
    )  # fmt: skip
    return y


class _NormaliseAddRelu(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        shortcut: torch.Tensor | None,
        weight: torch.Tensor,
        bias: torch.Tensor,  # noqa: ARG004 - for autograd; the kernel takes it from the norm
        mean: torch.Tensor,
        variance: torch.Tensor,
        norm: nn.BatchNorm2d,
    ) -> torch.Tensor:
        y = _apply(norm, x, shortcut, mean, variance)
        # Detached, since torch 2.6 never frees an output that is saved during activation
        # checkpointing.
        ctx.save_for_backward(x, y.detach(), weight, mean, variance)
        ctx.epsilon = norm.eps
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, y, weight, mean, variance = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        result = torch.empty_like(x)
        behind = torch.empty_like(x) if ctx.needs_input_grad[1] else None
        weight_gradient, bias_gradient = torch.empty_like(weight), torch.empty_like(weight)
        _kernel("backward", x)(
            torch.get_num_threads(), gradient.data_ptr(), y.data_ptr(), x.data_ptr(),
            None if behind is None else behind.data_ptr(), result.data_ptr(),
            x.numel() // x.shape[1], x.shape[1], weight.data_ptr(), mean.data_ptr(),
            variance.data_ptr(), ctx.epsilon, weight_gradient.data_ptr(),
            bias_gradient.data_ptr(),
        )  # fmt: skip
        return result, behind, weight_gradient, bias_gradient, None, None, None

"""The building blocks of plain and residual networks (He et al. 2015, §3.2, Figures 2 and 5)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn import functional as F

from resnet_study.models import fused
from resnet_study.models.shortcuts import build_shortcut


class ConvBN(nn.Module):
    """A convolution without bias, followed by batch norm; the caller activates.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: Of the convolution.
        norm: "batch", or "none" for a convolution with bias and nothing after it: the
            control that shows what batch norm does.
        kernel: Side of the convolution's kernel, odd; zeros are padded so that stride 1 keeps
            the size.

    Attributes:
        fused: Whether `activated` may use the fused kernels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        norm: str = "batch",
        kernel: int = 3,
    ) -> None:
        super().__init__()
        self.fused = True
        bare = norm == "none"
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=bare
        )
        self.bn = nn.Identity() if bare else nn.BatchNorm2d(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps `(N, in_channels, H, W)` to `(N, out_channels, H/stride, W/stride)`."""
        out: torch.Tensor = self.bn(self.conv(x))
        return out

    def activated(self, x: torch.Tensor, shortcut: torch.Tensor | None = None) -> torch.Tensor:
        """ReLU of the layer's response plus a shortcut.

        It is one kernel where that fits, and the response is then nowhere to be seen; where
        a hook on the layer or on its batch norm asks for it, it is there.
        """
        if not self.fused or _hooked(self) or _hooked(self.bn):
            out = self(x)
        else:
            out = self.conv(x)
            if fused.applies(self.bn, out, shortcut):
                return fused.normalise_add_relu(self.bn, out, shortcut)  # type: ignore[arg-type]
            out = self.bn(out)
        if shortcut is not None:
            out = out + shortcut
        return F.relu(out, inplace=True)


def _hooked(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )


class Block(nn.Module):
    """A stack of layers, with a shortcut over all of them or without one.

    A block without a shortcut is a piece of a plain network. With one, the shortcut is
    added after the last batch norm and before the last ReLU (He et al. 2015, Eqn. 1).

    Args:
        layers: In the order in which they follow one another.
        shortcut: From the block's input to its output, or None.
    """

    def __init__(self, layers: Iterable[ConvBN], shortcut: nn.Module | None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.shortcut = shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps `(N, in_channels, H, W)` to `(N, out_channels, H/stride, W/stride)`."""
        out = x
        for layer in list(self.layers)[:-1]:
            assert isinstance(layer, ConvBN)
            out = layer.activated(out)
        last = self.layers[-1]
        assert isinstance(last, ConvBN)
        return last.activated(out, None if self.shortcut is None else self.shortcut(x))


class BasicBlock(Block):
    """A stack of 3×3 convolutions (He et al. 2015, Figure 5, left).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: Stride of the first convolution.
        layers: Number of 3×3 convolutions that the shortcut spans; the paper has 2.
        shortcut: "A", "B", "C", or None for a plain block.
        norm: As in `ConvBN`, of the projection too.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        layers: int = 2,
        shortcut: str | None = None,
        norm: str = "batch",
    ) -> None:
        super().__init__(
            (
                ConvBN(
                    in_channels if i == 0 else out_channels,
                    out_channels,
                    stride if i == 0 else 1,
                    norm,
                )
                for i in range(layers)
            ),
            build_shortcut(shortcut, in_channels, out_channels, stride, norm),
        )


class BottleneckBlock(Block):
    """1×1, 3×3 and 1×1 convolutions, the last widening (He et al. 2015, Figure 5, right).

    Args:
        in_channels: Channels of the input.
        channels: Channels of the first two layers; the last has `EXPANSION` times as many.
        stride: Of the block.
        shortcut: "A", "B", "C", or None for a plain block.
        norm: As in `ConvBN`, of the projection too.
        stride_on: The layer that has the stride: "1x1", the first, as in the paper's own
            models, or "3x3", as in torchvision's.
    """

    EXPANSION = 4

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        shortcut: str | None = None,
        norm: str = "batch",
        stride_on: str = "1x1",
    ) -> None:
        first, second = (stride, 1) if stride_on == "1x1" else (1, stride)
        out_channels = self.EXPANSION * channels
        super().__init__(
            (
                ConvBN(in_channels, channels, first, norm, kernel=1),
                ConvBN(channels, channels, second, norm),
                ConvBN(channels, out_channels, 1, norm, kernel=1),
            ),
            build_shortcut(shortcut, in_channels, out_channels, stride, norm),
        )

"""The building blocks of plain and residual networks (He et al. 2015, §3.2, Figures 2 and 5)."""

from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from resnet_study.config import ModelConfig
from resnet_study.models import fused
from resnet_study.models.shortcuts import ProjectionShortcut, build_shortcut


class ConvBN(nn.Module):
    """A convolution without bias, followed by batch norm; the caller activates.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: Stride of the convolution.
        norm: "batch", or "none" for a convolution with bias and no batch norm, the control
            that shows its effect.
        kernel: Side of the kernel, odd; zeros are padded so that stride 1 keeps the size.

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

        Where possible, one fused kernel computes it without storing the response itself. A hook on
        the layer or on its batch norm rules that kernel out.
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
        model: The network's description; its architecture says which layers a block has.
        in_channels: Channels of the input.
        filters: Filters of the stage; a bottleneck has four times as many outputs.
        stride: Stride of the block. Its first layer has it, as in the paper's own models, or, with
            `model.bottleneck_stride` "3x3", a bottleneck's second, as in torchvision's.

    Attributes:
        layer: The class of its layers; another family may have its own.
        out_channels: Channels of the output.
    """

    layer: type[ConvBN] = ConvBN

    def __init__(self, model: ModelConfig, in_channels: int, filters: int, stride: int = 1) -> None:
        super().__init__()
        strided = 1 if model.bottleneck_stride == "3x3" else 0
        self.layers = nn.ModuleList()
        self.out_channels = in_channels
        for number, (kernel, expansion) in enumerate(model.design.layers(model)):
            channels, self.out_channels = self.out_channels, expansion * filters
            layer_stride = stride if number == strided else 1
            self.layers.append(
                self.layer(channels, self.out_channels, layer_stride, model.norm, kernel)
            )
        self.shortcut = build_shortcut(
            model.shortcut, in_channels, self.out_channels, stride, model.norm
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps `(N, in_channels, H, W)` to `(N, out_channels, H/stride, W/stride)`."""
        out = x
        *former, last = cast(list[ConvBN], list(self.layers))
        for layer in former:
            out = layer.activated(out)
        return last.activated(out, None if self.shortcut is None else self.shortcut(x))

    @torch.no_grad()
    def become_identity(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        """Makes the block pass inputs that are not negative unchanged; see `deepen`.

        Args:
            mean: Of each channel of its input, `(in_channels,)`.
            variance: Likewise.
        """
        layers = cast(list[ConvBN], list(self.layers))
        if self.shortcut is None:
            for layer in layers:
                _pass(layer.conv, layer.bn, mean, variance)
            return
        last = layers[-1]
        if isinstance(last.bn, nn.BatchNorm2d):
            last.bn.weight.zero_()
            last.bn.bias.zero_()
        else:
            last.conv.weight.zero_()
        if isinstance(self.shortcut, ProjectionShortcut):
            _pass(self.shortcut[0], self.shortcut[1], mean, variance)


def _pass(conv: nn.Module, norm: nn.Module, mean: torch.Tensor, variance: torch.Tensor) -> None:
    """Makes a convolution and its batch norm pass an input with these statistics unchanged."""
    assert isinstance(conv, nn.Conv2d)
    nn.init.dirac_(conv.weight)
    if conv.bias is not None:
        conv.bias.zero_()
    if isinstance(norm, nn.BatchNorm2d):
        norm.load_state_dict(
            {
                "running_mean": mean,
                "running_var": variance,
                "bias": mean,
                "weight": (variance + norm.eps).sqrt(),
            },
            strict=False,
        )

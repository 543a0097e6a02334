"""The three shortcut options of He et al. 2015, §3.3 and §4.1."""

import torch
from torch import nn
from torch.nn import functional as F


class PadShortcut(nn.Module):
    """Option A where the shape changes: subsample, then pad new channels with zeros.

    Subsampling takes every `stride`-th pixel, without averaging, and the zero channels
    follow the copied ones. It has no parameters.

    Args:
        in_channels: Channels of the block's input.
        out_channels: Channels of the block's output, at least `in_channels`.
        stride: Spatial stride of the block.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.extra_channels = out_channels - in_channels
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps `(N, in_channels, H, W)` to `(N, out_channels, H/stride, W/stride)`."""
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, 0, self.extra_channels))


class ProjectionShortcut(nn.Sequential):
    """Options B and C: a strided 1×1 convolution followed by batch norm, if there is any."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, norm: str = "batch"
    ) -> None:
        bare = norm == "none"
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=bare),
            nn.Identity() if bare else nn.BatchNorm2d(out_channels),
        )


def build_shortcut(
    option: str | None, in_channels: int, out_channels: int, stride: int, norm: str = "batch"
) -> nn.Module | None:
    """Returns the shortcut of one block.

    Args:
        option: "A" (zero padding where the shape changes), "B" (projection where the
            shape changes), "C" (projection everywhere), or None for a plain block.
        in_channels: Channels of the block's input.
        out_channels: Channels of the block's output.
        stride: Spatial stride of the block.
        norm: "batch" or "none", of a projection.

    Returns:
        A module from block input to block output, or None for a plain block.
    """
    if option is None:
        return None
    same_shape = stride == 1 and in_channels == out_channels
    if option == "C" or (option == "B" and not same_shape):
        return ProjectionShortcut(in_channels, out_channels, stride, norm)
    if same_shape:
        return nn.Identity()
    return PadShortcut(in_channels, out_channels, stride)

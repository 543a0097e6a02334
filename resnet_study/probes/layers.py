"""The weighted layers of a network, in the order in which a signal passes them."""

import copy

from torch import nn


def copy_of(network: nn.Module) -> nn.Module:
    """A copy to probe, without activation checkpointing, so that hooks see each layer once."""
    copied = copy.deepcopy(network)
    for module in copied.modules():
        if hasattr(module, "activation_checkpointing"):
            setattr(module, "activation_checkpointing", False)  # noqa: B010 - any module
    return copied


def weighted_layers(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """Name and module of each convolutional layer on the main path, the stem first.

    A layer is a module that holds a convolution `conv` and its batch norm `bn`. Its output is
    what the paper calls a response: after batch norm, before the non-linearity and before the
    shortcut is added (He et al. 2015, §4.2, of 3×3 layers; a bottleneck's 1×1 layers and
    ImageNet's stem count as well). Projections are left out.
    """
    return [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(getattr(module, "conv", None), nn.Conv2d)
    ]

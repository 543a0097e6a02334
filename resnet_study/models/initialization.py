"""Initial weights, drawn layer by layer so that networks can be compared in pairs."""

import hashlib

import torch
from torch import nn

from resnet_study.models.shortcuts import ProjectionShortcut


def _generator(seed: int, layer: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}/{layer}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def _draw(weight: torch.Tensor, scheme: str, generator: torch.Generator) -> None:
    if scheme == "he":
        nn.init.kaiming_normal_(weight, mode="fan_in", nonlinearity="relu", generator=generator)
    else:
        nn.init.xavier_normal_(weight, generator=generator)


@torch.no_grad()
def initialize(network: nn.Module, scheme: str, seed: int, head_std: float | None = None) -> None:
    """Draws all weights in place.

    Each weighted layer has a random stream of its own, named by its position along the
    main path, and projections have streams named after the block. A plain and a
    residual network of the same seed and depth therefore start from the same weights,
    layer by layer, whatever the shortcut option, and their comparison is paired.

    "he" is the normal distribution of He et al. 2015b ("Delving deep into rectifiers"),
    with variance 2/fan_in (fan mode "fan_in"), for convolutions and the head alike.
    "xavier" is Glorot's normal distribution, with variance 2/(fan_in + fan_out). Batch
    norm starts at scale 1 and offset 0; the head's bias at 0.

    Args:
        network: A network on the CPU; weights are drawn there for every device.
        scheme: "he" or "xavier".
        seed: The run's seed.
        head_std: Standard deviation of the head's weights; None for that of the scheme.
    """
    projections = {
        module: name
        for name, module in network.named_modules()
        if isinstance(module, ProjectionShortcut)
    }
    inside_projection = {child: projections[p] for p in projections for child in p}
    position = 0
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            if module in inside_projection:
                layer = f"projection {inside_projection[module]}"
            else:
                layer = f"layer {position}"
                position += 1
            if isinstance(module, nn.Linear) and head_std is not None:
                module.weight.normal_(0, head_std, generator=_generator(seed, layer))
            else:
                _draw(module.weight, scheme, _generator(seed, layer))
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()

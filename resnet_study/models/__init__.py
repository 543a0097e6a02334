"""Networks: `build_network` makes one from a `ModelConfig`.

Configs import the table in this package, so this file does not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resnet_study.config import ModelConfig
    from resnet_study.models.staged import StagedNet


def build_network(
    config: ModelConfig,
    classes: int,
    seed: int = 0,
    activation_checkpointing: bool = False,
    fused: bool = True,
) -> StagedNet:
    """Builds a network on the CPU with its initial weights.

    Args:
        config: The network's description.
        classes: Number of classes, the head's outputs.
        seed: Seed of the initial weights.
        activation_checkpointing: As in `StagedNet`.
        fused: Whether batch norm, addition and ReLU may be one kernel on the CPU (`fused.py`).

    Returns:
        A module that maps images `(N, 3, H, W)`, float, to logits `(N, classes)`.
    """
    from resnet_study.models.blocks import ConvBN
    from resnet_study.models.initialization import initialize

    network = config.design.build(config, classes, activation_checkpointing)
    for module in network.modules():
        if isinstance(module, ConvBN):
            module.fused = fused
    initialize(network, config.init, seed, config.head_std)
    return network

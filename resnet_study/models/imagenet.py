"""The family of 18 to 152 layers for large images (He et al. 2015, §4.1, Table 1)."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from resnet_study.config import ModelConfig
from resnet_study.models.staged import StagedNet


class ImageNetNet(StagedNet):
    """7×7 stem, max pooling, four stages of blocks, global average pooling, head.

    Its state dict has the names of torchvision's `resnet18` to `resnet152`, so that with
    option B and `model.bottleneck_stride` "3x3" the weights of one load into the other.

    Args:
        model: The network's description.
        classes: Outputs of the fully connected head.
        activation_checkpointing: As in `StagedNet`.
    """

    def __init__(
        self, model: ModelConfig, classes: int, activation_checkpointing: bool = False
    ) -> None:
        super().__init__(model, classes, activation_checkpointing)
        self.register_state_dict_post_hook(_as_torchvision)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_from_torchvision)  # type: ignore[no-untyped-call]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps images `(N, 3, H, W)`, of any size, to logits `(N, classes)`."""
        x = F.max_pool2d(self.stem.activated(x), 3, stride=2, padding=1)
        x = self.through_stages(x)
        logits: torch.Tensor = self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits


# Patterns of our names, and what they become in torchvision's state dicts.
_RENAMED = {
    r"^stem\.(?P<kind>conv|bn)\.": "{kind}1.",
    r"^stages\.(?P<number>\d+)\.": "layer{number}.",
    r"\.layers\.(?P<number>\d+)\.(?P<kind>conv|bn)\.": ".{kind}{number}.",
    r"\.shortcut\.": ".downsample.",
    r"^head\.": "fc.",
}


def torchvision_name(name: str) -> str:
    """What torchvision calls a tensor of this network; it counts from 1."""
    for pattern, new in _RENAMED.items():
        if found := re.search(pattern, name):
            groups = found.groupdict()
            if "number" in groups:
                groups["number"] = str(int(groups["number"]) + 1)
            name = name[: found.start()] + new.format(**groups) + name[found.end() :]
    return name


def _as_torchvision(_: nn.Module, state: dict[str, Any], prefix: str, __: Any) -> None:
    """Renames the entries of a state dict in place; their order stays."""
    for key in list(state):
        known = key.startswith(prefix)
        state[prefix + torchvision_name(key[len(prefix) :]) if known else key] = state.pop(key)


def _from_torchvision(network: nn.Module, state: dict[str, Any], prefix: str, *args: Any) -> None:  # noqa: ARG001 - of the hook
    """Gives the entries of a state dict our names before they are loaded."""
    for name, _ in (*network.named_parameters(), *network.named_buffers()):
        if (theirs := prefix + torchvision_name(name)) in state:
            state[prefix + name] = state.pop(theirs)

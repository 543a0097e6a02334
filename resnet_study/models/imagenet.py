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


# What our names become in torchvision's state dicts, and back; theirs count from 1.
_TO = {
    r"^stem\.(?P<kind>conv|bn)\.": "{kind}1.",
    r"^stages\.(?P<stage>\d+)\.": "layer{stage}.",
    r"\.layers\.(?P<layer>\d+)\.(?P<kind>conv|bn)\.": ".{kind}{layer}.",
    r"\.shortcut\.": ".downsample.",
    r"^head\.": "fc.",
}
_FROM = {
    r"^(?P<kind>conv|bn)1\.": "stem.{kind}.",
    r"^layer(?P<stage>\d+)\.": "stages.{stage}.",
    r"(?<=\d)\.(?P<kind>conv|bn)(?P<layer>\d)\.": ".layers.{layer}.{kind}.",
    r"\.downsample\.": ".shortcut.",
    r"^fc\.": "head.",
}


def _rename(state: dict[str, Any], prefix: str, rules: dict[str, str], step: int) -> None:
    """Renames a state dict's entries in place; their order stays.

    Args:
        state: The state dict.
        prefix: What stands before the network's own names.
        rules: Patterns and what they become.
        step: Added to each number.
    """
    for key in list(state):
        name = key
        if key.startswith(prefix):
            name = key[len(prefix) :]
            for pattern, new in rules.items():
                if found := re.search(pattern, name):
                    groups = {
                        k: int(v) + step if v.isdigit() else v for k, v in found.groupdict().items()
                    }
                    name = name[: found.start()] + new.format(**groups) + name[found.end() :]
            name = prefix + name
        state[name] = state.pop(key)


def _as_torchvision(_: nn.Module, state: dict[str, Any], prefix: str, __: Any) -> None:
    _rename(state, prefix, _TO, 1)


def _from_torchvision(_: nn.Module, state: dict[str, Any], prefix: str, *__: Any) -> None:
    _rename(state, prefix, _FROM, -1)

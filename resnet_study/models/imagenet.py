"""The family of 18 to 152 layers for large images (He et al. 2015, §4.1, Table 1)."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from resnet_study.config.model import BOTTLENECK_DEPTHS, IMAGENET_BLOCKS
from resnet_study.models.blocks import BasicBlock, Block, BottleneckBlock, ConvBN
from resnet_study.models.staged import StagedNet


class ImageNetNet(StagedNet):
    """7×7 stem, max pooling, four stages of blocks, global average pooling, head.

    The stages have 1, 2, 4 and 8 times `width` filters, of which a bottleneck's last layer
    has four times as many; the first block of each stage but the first has stride 2. Networks
    of 50 layers and more consist of bottlenecks. Without shortcuts the network is plain.

    Its state dict has the names of torchvision's `resnet18` to `resnet152`, so that with
    option B and `stride_on="3x3"` the weights of one load into the other.

    Args:
        depth: Weighted layers: 18, 34, 50, 101 or 152; projections are not counted.
        classes: Outputs of the fully connected head.
        shortcut: "A", "B", "C", or None for the plain network.
        width: Filters of the stem and the first stage; the paper has 64.
        norm: "batch", or "none" for the control without batch norm.
        stride_on: As in `BottleneckBlock`.
        activation_checkpointing: As in `StagedNet`.
    """

    def __init__(
        self,
        depth: int,
        classes: int,
        shortcut: str | None = None,
        width: int = 64,
        norm: str = "batch",
        stride_on: str = "1x1",
        activation_checkpointing: bool = False,
    ) -> None:
        stages = []
        channels = width
        for stage, count in enumerate(IMAGENET_BLOCKS[depth]):
            filters = width * 2**stage
            blocks: list[Block] = []
            for number in range(count):
                stride = 2 if stage > 0 and number == 0 else 1
                if depth in BOTTLENECK_DEPTHS:
                    block = BottleneckBlock(channels, filters, stride, shortcut, norm, stride_on)
                    channels = BottleneckBlock.EXPANSION * filters
                    blocks.append(block)
                else:
                    blocks.append(BasicBlock(channels, filters, stride, 2, shortcut, norm))
                    channels = filters
            stages.append(blocks)
        super().__init__(
            ConvBN(3, width, stride=2, norm=norm, kernel=7),
            stages,
            nn.Linear(channels, classes),
            activation_checkpointing,
        )
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

"""The 6n+2-layer family for small images (He et al. 2015, §4.2)."""

from __future__ import annotations

import torch
from torch import nn

from resnet_study.models.blocks import BasicBlock, ConvBN
from resnet_study.models.staged import StagedNet


class CifarNet(StagedNet):
    """Stem, three stages of 2n 3×3 convolutions each, global average pooling, head.

    The stages have `width`, 2·`width` and 4·`width` filters; the first convolution of
    the second and third stage has stride 2. Without shortcuts the network is plain.

    Args:
        depth: Weighted layers, 6n+2; projections are not counted.
        classes: Outputs of the fully connected head.
        shortcut: "A", "B", "C", or None for the plain network.
        width: Filters of the stem and the first stage; the paper has 16.
        layers_per_block: Convolutions that one shortcut spans; it divides 2n.
        norm: "batch", or "none" for the control without batch norm.
        activation_checkpointing: As in `StagedNet`.
    """

    def __init__(
        self,
        depth: int,
        classes: int,
        shortcut: str | None = None,
        width: int = 16,
        layers_per_block: int = 2,
        norm: str = "batch",
        activation_checkpointing: bool = False,
    ) -> None:
        blocks_per_stage = (depth - 2) // 3 // layers_per_block
        stages = []
        channels = width
        for stage in range(3):
            out_channels = width * 2**stage
            blocks = []
            for block in range(blocks_per_stage):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(
                    BasicBlock(channels, out_channels, stride, layers_per_block, shortcut, norm)
                )
                channels = out_channels
            stages.append(blocks)
        super().__init__(
            ConvBN(3, width, norm=norm),
            stages,
            nn.Linear(channels, classes),
            activation_checkpointing,
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps images `(N, 3, H, W)` to logits `(N, classes)`."""
        x = self.through_stages(self.stem.activated(x))
        logits: torch.Tensor = self.head(x.mean(dim=(2, 3)))
        return logits

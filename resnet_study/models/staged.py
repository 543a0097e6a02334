"""What the families share: a stem, stages of blocks, and a head."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from resnet_study.models.blocks import Block, ConvBN
from resnet_study.models.recompute import forward_again_in_backward


class StagedNet(nn.Module):
    """A network of stages; how it pools before and after them is its family's own.

    Args:
        stem: The first layer.
        stages: The blocks of each stage.
        head: Fully connected, from pooled features to logits.
        activation_checkpointing: Whether training keeps each block's input alone and
            computes the rest again in the backward pass: about a quarter of the memory for
            a third more time, with the same gradients.
    """

    def __init__(
        self,
        stem: ConvBN,
        stages: Iterable[Iterable[Block]],
        head: nn.Linear,
        activation_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.activation_checkpointing = activation_checkpointing
        self.stem = stem
        self.stages = nn.ModuleList(nn.Sequential(*blocks) for blocks in stages)
        self.head = head

    def through_stages(self, x: torch.Tensor) -> torch.Tensor:
        """Maps the stem's output `(N, C, H, W)` to that of the last stage."""
        for stage in self.stages:
            assert isinstance(stage, nn.Sequential)
            if self.activation_checkpointing and self.training:
                for block in stage:
                    x = forward_again_in_backward(block, x)
            else:
                x = stage(x)
        return x

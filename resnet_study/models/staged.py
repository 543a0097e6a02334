"""The network of all families: a stem, stages of blocks, and a head."""

import torch
from torch import nn

from resnet_study.config import ModelConfig
from resnet_study.models.blocks import Block, ConvBN
from resnet_study.models.recompute import forward_again_in_backward


class StagedNet(nn.Module):
    """Stem, stages of blocks, global average pooling, head (He et al. 2015, §4.2).

    The architecture's entry in the table says which blocks there are. A family whose blocks
    compute something else has a subclass with another `block`; one that pools differently has
    its own `forward`.

    Args:
        model: The network's description.
        classes: Outputs of the fully connected head.
        activation_checkpointing: Whether training keeps only the input of each block and computes
            the rest again in the backward pass: less than half of the memory of each layer for a
            third more time, with the same gradients.
    """

    block: type[Block] = Block

    def __init__(
        self, model: ModelConfig, classes: int, activation_checkpointing: bool = False
    ) -> None:
        super().__init__()
        self.activation_checkpointing = activation_checkpointing
        kernel, stem_stride = model.design.stem
        self.stem = ConvBN(3, model.width, stem_stride, model.norm, kernel)
        self.stages = nn.ModuleList()
        channels = model.width
        for stage, count in enumerate(model.design.blocks(model)):
            blocks = []
            for number in range(count):
                stride = 2 if stage > 0 and number == 0 else 1
                blocks.append(self.block(model, channels, model.width * 2**stage, stride))
                channels = blocks[-1].out_channels
            self.stages.append(nn.Sequential(*blocks))
        self.head = nn.Linear(channels, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps images `(N, 3, H, W)` to logits `(N, classes)`."""
        x = self.through_stages(self.stem.activated(x))
        logits: torch.Tensor = self.head(x.mean(dim=(2, 3)))
        return logits

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

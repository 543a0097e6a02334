"""The table of architectures: all that the study needs to know of a family of networks.

A config reads this table, so the top of this file imports neither torch nor the rest of the
study. `build` imports the family's network when it is called.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from resnet_study.system.errors import ConfigError

if TYPE_CHECKING:
    from resnet_study.config import ModelConfig
    from resnet_study.models.staged import StagedNet


class Architecture(ABC):
    """A family of networks: a stem, stages of blocks and a head.

    The filters double from stage to stage, and the first block of each stage but the first has
    stride 2.

    Attributes:
        width: Filters of the stem and of the first stage in the family's paper.
        stem: Side of the stem's kernel, and its stride.
        depths: The depths of the family, if they are few.
        bottlenecks: The depths whose blocks are bottlenecks.
        torchvision: Whether the names in its state dicts are those of torchvision's published
            weights.
        fills_gpu: Whether one network keeps a GPU busy, so that runs do not share it.
    """

    width: int
    stem = (3, 1)
    depths: tuple[int, ...] = ()
    bottlenecks: tuple[int, ...] = ()
    torchvision = False
    fills_gpu = False

    @abstractmethod
    def check(self, model: ModelConfig) -> None:
        """Checks depth and blocks of a network.

        Raises:
            ConfigError: The family has no such network.
        """

    @abstractmethod
    def build(self, model: ModelConfig, classes: int, activation_checkpointing: bool) -> StagedNet:
        """Builds a network on the CPU; `build_network` draws its initial weights."""

    @abstractmethod
    def blocks(self, model: ModelConfig) -> Sequence[int]:
        """Number of blocks in each stage."""

    def layers(self, model: ModelConfig) -> Sequence[tuple[int, int]]:
        """Layers of a block: the kernel's side, and filters as a multiple of the stage's.

        A basic block has 3×3 layers. A bottleneck has layers of 1×1, 3×3 and 1×1, and the last
        has four times the filters (He et al. 2015, Figure 5).
        """
        if model.bottlenecks:
            return ((1, 1), (3, 1), (1, 4))
        return ((3, 1),) * model.layers_per_block

    def parameters(self, model: ModelConfig, classes: int) -> int:
        """Number of trainable parameters, counted without building the network."""
        # Scale and offset of batch norm, or the convolution's bias.
        affine = 1 if model.norm == "none" else 2
        total = channels = 0
        for in_channels, channels, kernel in self._convolutions(model):
            total += (in_channels * kernel**2 + affine) * channels
        return total + (channels + 1) * classes

    def _convolutions(self, model: ModelConfig) -> Iterator[tuple[int, int, int]]:
        """Input channels, output channels and kernel of each convolution, with projections."""
        channels = model.width
        yield 3, channels, self.stem[0]
        for stage, count in enumerate(self.blocks(model)):
            for _ in range(count):
                entering = channels
                for kernel, expansion in self.layers(model):
                    out_channels = expansion * model.width * 2**stage
                    yield channels, out_channels, kernel
                    channels = out_channels
                if model.shortcut == "C" or (model.shortcut == "B" and entering != channels):
                    yield entering, channels, 1

    def layer_cost(self, width: int, side: float) -> float:
        """Training time of a layer, relative to CIFAR's layers.

        Args:
            width: Filters of the first stage.
            side: Side of the images in pixels.
        """
        # Memory traffic bounds these layers. It grows with the width, not with its square.
        return width * side**2


class Cifar(Architecture):
    """The family of 6n+2 layers for small images: three stages (He et al. 2015, §4.2)."""

    width = 16

    def check(self, model: ModelConfig) -> None:
        n, rest = divmod(model.depth - 2, 6)
        if rest:
            allowed = "must be 6n+2 with n >= 1, such as 20, 32, 44, 56 or 110"
            for name, other in ARCHITECTURES.items():
                if model.depth in other.depths:
                    allowed += f"; {model.depth} is a depth of model.architecture={name}"
            raise ConfigError("model.depth", model.depth, allowed)
        if 2 * n % model.layers_per_block:
            divisors = [str(d) for d in range(1, 2 * n + 1) if 2 * n % d == 0]
            allowed = (
                f"must be a divisor of the {2 * n} layers that a stage has at depth "
                f"{model.depth}: {', '.join(divisors)}"
            )
            raise ConfigError("model.layers_per_block", model.layers_per_block, allowed)

    def build(self, model: ModelConfig, classes: int, activation_checkpointing: bool) -> StagedNet:
        from resnet_study.models.staged import StagedNet

        return StagedNet(model, classes, activation_checkpointing)

    def blocks(self, model: ModelConfig) -> Sequence[int]:
        return ((model.depth - 2) // 3 // model.layers_per_block,) * 3


class ImageNet(Architecture):
    """The family of 18 to 152 layers for large images: four stages (He et al. 2015, Table 1)."""

    width = 64
    stem = (7, 2)
    depths = (18, 34, 50, 101, 152)
    bottlenecks = (50, 101, 152)
    torchvision = True
    fills_gpu = True

    def check(self, model: ModelConfig) -> None:
        if model.depth not in self.depths:
            allowed = "must be one of " + ", ".join(map(str, self.depths))
            raise ConfigError("model.depth", model.depth, f"{allowed} with {_named(model)}")
        if model.layers_per_block != 2:
            allowed = f"must be 2 with {_named(model)}, whose blocks are fixed"
            raise ConfigError("model.layers_per_block", model.layers_per_block, allowed)

    def build(self, model: ModelConfig, classes: int, activation_checkpointing: bool) -> StagedNet:
        from resnet_study.models.imagenet import ImageNetNet

        return ImageNetNet(model, classes, activation_checkpointing)

    def blocks(self, model: ModelConfig) -> Sequence[int]:
        return {
            18: (2, 2, 2, 2),
            34: (3, 4, 6, 3),
            50: (3, 4, 6, 3),
            101: (3, 4, 23, 3),
            152: (3, 8, 36, 3),
        }[model.depth]

    def layer_cost(self, width: int, side: float) -> float:
        """Training time of a layer, relative to CIFAR's layers; see the base class."""
        # Stem and pooling divide the side by 4. Arithmetic bounds these wider layers. It grows
        # with the square of the width.
        return width * (side / 4) ** 2 * width / 16


def _named(model: ModelConfig) -> str:
    return f"model.architecture={model.architecture}"


ARCHITECTURES: dict[str, Architecture] = {"cifar": Cifar(), "imagenet": ImageNet()}

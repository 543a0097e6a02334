"""The network of a run."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_study.config.fields import check, setting
from resnet_study.system.errors import ConfigError

# Blocks of each of the four stages (He et al. 2015, Table 1).
IMAGENET_BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
BOTTLENECK_DEPTHS = (50, 101, 152)
KINDS = ("plain", "residual")
SHORTCUTS = ("A", "B", "C")
# Filters of the first stage, by architecture.
WIDTHS = {"cifar": 16, "imagenet": 64}


@dataclass(frozen=True)
class ModelConfig:
    """A network of one of the paper's two families.

    Attributes:
        kind: "plain" or "residual".
        depth: Weighted layers: 6n+2 for CIFAR; 18, 34, 50, 101 or 152 for ImageNet.
        shortcut: Option "A", "B" or "C"; a plain network has none, whatever is given.
        width: Filters of the first stage; the paper has 16 for CIFAR and 64 for ImageNet.
        layers_per_block: Convolutions that one shortcut spans; it must divide 2n. In
            ImageNet's family the block's own, for which 2 stands.
        init: "he" or "xavier".
        norm: "batch", or "none" for the control without batch norm.
        architecture: "cifar" (He et al. 2015, §4.2) or "imagenet" (Table 1).
        bottleneck_stride: Which layer of a bottleneck has the block's stride: its first "1x1",
            as in the paper's models, or its "3x3", as in torchvision's. Without bottlenecks it
            is "1x1", whatever is given.
    """

    kind: str = setting("residual", str, choices=KINDS)
    depth: int = setting(20, int, minimum=8, maximum=10_000)
    shortcut: str | None = setting("A", str, choices=SHORTCUTS, optional=True)
    width: int = setting(16, int, minimum=1, maximum=4096)
    layers_per_block: int = setting(2, int, minimum=1)
    init: str = setting("he", str, choices=("he", "xavier"))
    norm: str = setting("batch", str, choices=("batch", "none"))
    architecture: str = setting("cifar", str, choices=tuple(WIDTHS))
    bottleneck_stride: str = setting("1x1", str, choices=("1x1", "3x3"))

    def __post_init__(self) -> None:
        check(self, "model.")
        if self.kind == "plain":
            # Without shortcuts neither option nor span exists: all such runs are one.
            object.__setattr__(self, "shortcut", None)
            object.__setattr__(self, "layers_per_block", 2)
        elif self.shortcut is None:
            raise ConfigError("model.shortcut", None, "a residual network needs one of A, B, C")
        if not self.bottlenecks:
            object.__setattr__(self, "bottleneck_stride", "1x1")
        if self.architecture == "imagenet":
            self._check_imagenet()
        else:
            self._check_cifar()

    def _check_cifar(self) -> None:
        n, rest = divmod(self.depth - 2, 6)
        if rest:
            allowed = "allowed is 6n+2 with n >= 1, such as 20, 32, 44, 56 or 110"
            if self.depth in IMAGENET_BLOCKS:
                allowed += f"; {self.depth} is of model={self.kind}_imagenet"
            raise ConfigError("model.depth", self.depth, allowed)
        if 2 * n % self.layers_per_block:
            divisors = [str(d) for d in range(1, 2 * n + 1) if 2 * n % d == 0]
            raise ConfigError(
                "model.layers_per_block",
                self.layers_per_block,
                f"at depth {self.depth} a stage has {2 * n} layers; allowed are its "
                f"divisors {', '.join(divisors)}",
            )

    def _check_imagenet(self) -> None:
        if self.depth not in IMAGENET_BLOCKS:
            raise ConfigError(
                "model.depth",
                self.depth,
                "allowed with model.architecture=imagenet are "
                + ", ".join(map(str, IMAGENET_BLOCKS)),
            )
        if self.layers_per_block != 2:
            allowed = "allowed with model.architecture=imagenet is 2: its blocks are given"
            raise ConfigError("model.layers_per_block", self.layers_per_block, allowed)

    @property
    def bottlenecks(self) -> bool:
        """Whether it consists of bottleneck blocks."""
        return self.architecture == "imagenet" and self.depth in BOTTLENECK_DEPTHS

    def check_deepening(self, depth: int) -> None:
        """Finds out whether a network of another depth can be deepened to this one.

        Raises:
            ConfigError: It cannot; the field named is `start.depth`.
        """
        if self.architecture == "cifar":
            return
        family = BOTTLENECK_DEPTHS if self.bottlenecks else (18, 34)
        if depth not in family:
            raise ConfigError(
                "start.depth",
                depth,
                f"it has other blocks than {self.depth} layers; allowed are "
                + ", ".join(str(known) for known in family if known <= self.depth),
            )
        if self.bottlenecks and self.kind == "plain" and depth != self.depth:
            raise ConfigError("start.depth", depth, "a plain bottleneck cannot be an identity")

    @property
    def family(self) -> str:
        """The name in figures and run ids: "plain", "residual-A", …"""
        return self.kind if self.shortcut is None else f"{self.kind}-{self.shortcut}"

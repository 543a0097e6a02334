"""The network of a run."""

from dataclasses import dataclass

from resnet_study.config.fields import check, reset, setting
from resnet_study.models.architectures import ARCHITECTURES, Architecture
from resnet_study.system.errors import ConfigError

KINDS = ("plain", "residual")
SHORTCUTS = ("A", "B", "C")


@dataclass(frozen=True)
class ModelConfig:
    """A network of one of the families in `models/architectures.py`.

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
    architecture: str = setting("cifar", str, choices=tuple(ARCHITECTURES))
    bottleneck_stride: str = setting("1x1", str, choices=("1x1", "3x3"))

    def __post_init__(self) -> None:
        check(self, "model.")
        if self.kind == "plain":
            # Without shortcuts neither option nor span exists: all such runs are one.
            object.__setattr__(self, "shortcut", None)
            reset(self, "layers_per_block")
        elif self.shortcut is None:
            raise ConfigError("model.shortcut", None, "a residual network needs one of A, B, C")
        if not self.bottlenecks:
            reset(self, "bottleneck_stride")
        self.design.check(self)

    @property
    def design(self) -> Architecture:
        """The entry of its architecture in the table."""
        return ARCHITECTURES[self.architecture]

    @property
    def bottlenecks(self) -> bool:
        """Whether it consists of bottleneck blocks."""
        return self.depth in self.design.bottlenecks

    def check_deepening(self, depth: int) -> None:
        """Finds out whether a network of another depth can be deepened to this one.

        Args:
            depth: One that the family has.

        Raises:
            ConfigError: It cannot; the field named is `start.depth`.
        """
        design = self.design
        if (depth in design.bottlenecks) != self.bottlenecks:
            known = [d for d in design.depths if d <= self.depth]
            same = [str(d) for d in known if (d in design.bottlenecks) == self.bottlenecks]
            allowed = f"must be one of {', '.join(same)}, with the blocks of {self.depth} layers"
            raise ConfigError("start.depth", depth, allowed)
        if self.bottlenecks and self.kind == "plain" and depth != self.depth:
            raise ConfigError("start.depth", depth, "a plain bottleneck cannot be an identity")

    @property
    def family(self) -> str:
        """The name in figures and run ids: "plain", "residual-A", …"""
        return self.kind if self.shortcut is None else f"{self.kind}-{self.shortcut}"

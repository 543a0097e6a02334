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
        depth: Number of weighted layers; each family has its own depths, such as 6n+2.
        shortcut: Option "A", "B" or "C"; ignored for plain networks, which have none.
        width: Filters of the first stage.
        layers_per_block: Number of convolutions that a shortcut spans; must divide 2n. Always 2
            in ImageNet's family, whose blocks are fixed.
        init: "he" or "xavier".
        head_std: Standard deviation of the head's initial weights; null: as `init` says.
        norm: "batch", or "none" for the control without batch norm.
        architecture: The family, such as "cifar" (He et al. 2015, §4.2).
        bottleneck_stride: The layer of a bottleneck that has the block's stride: the first "1x1",
            as in the paper's models, or the "3x3", as in torchvision's. Ignored without
            bottlenecks.
    """

    kind: str = setting("residual", str, choices=KINDS)
    depth: int = setting(20, int, minimum=8, maximum=10_000)
    shortcut: str | None = setting("A", str, choices=SHORTCUTS, optional=True)
    width: int = setting(16, int, minimum=1, maximum=4096)
    layers_per_block: int = setting(2, int, minimum=1)
    init: str = setting("he", str, choices=("he", "xavier"))
    head_std: float | None = setting(None, float, minimum=0, exclusive=True, optional=True)
    norm: str = setting("batch", str, choices=("batch", "none"))
    architecture: str = setting("cifar", str, choices=tuple(ARCHITECTURES))
    bottleneck_stride: str = setting("1x1", str, choices=("1x1", "3x3"))

    def __post_init__(self) -> None:
        check(self, "model.")
        if self.kind == "plain":
            # Without shortcuts, option and span have no effect: all their values mean the same run.
            object.__setattr__(self, "shortcut", None)
            reset(self, "layers_per_block")
        elif self.shortcut is None:
            raise ConfigError(
                "model.shortcut", None, "must be one of A, B, C for a residual network"
            )
        if not self.bottlenecks:
            reset(self, "bottleneck_stride")
        self.design.check(self)

    @property
    def design(self) -> Architecture:
        """The architecture's entry in the table."""
        return ARCHITECTURES[self.architecture]

    @property
    def bottlenecks(self) -> bool:
        """Whether the network consists of bottleneck blocks."""
        return self.depth in self.design.bottlenecks

    def check_deepening(self, depth: int) -> None:
        """Checks that a shallower network can be deepened to this one.

        Args:
            depth: Its depth, which the family must have.

        Raises:
            ConfigError: It cannot; the error names `start.depth`.
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

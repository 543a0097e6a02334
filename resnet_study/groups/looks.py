"""What a run starts from, and what is looked into on its way."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_study.errors import ConfigError
from resnet_study.fields import check, setting


@dataclass(frozen=True)
class StartConfig:
    """What a run starts from, in place of initial weights.

    At most one of the two is set. The other network must differ from this one in depth
    alone and be shallower, or be the same; a shallower one is deepened by identity layers.

    Attributes:
        depth: Depth of the otherwise equal run whose trained weights are taken; it is
            trained first where that has not been done.
        run: Folder of a finished run, or the id of one in the same experiment.
    """

    depth: int | None = setting(None, int, minimum=8, maximum=10_000, optional=True)
    run: str | None = setting(None, str, optional=True)

    def __post_init__(self) -> None:
        check(self, "start.")
        if self.depth is not None and self.run is not None:
            raise ConfigError("start.run", self.run, "allowed is null where start.depth is set")


@dataclass(frozen=True)
class ProbesConfig:
    """What is looked into beside the metrics; nothing of it changes the run.

    Attributes:
        gradients: Record the norms of each layer's gradients and its forward variance.
        responses: Record the deviation of each layer's responses (He et al. 2015, Figure 7).
        shattering: Record the autocorrelation of input gradients (Balduzzi et al. 2017).
        at: Iterations after which to look; 0 is before the first. The schedule's last stands
            for the trained network, also where a plateau ends the run early.
        images: Training images that the first and the third look at.
    """

    gradients: bool = setting(False, bool, identity=False)
    responses: bool = setting(False, bool, identity=False)
    shattering: bool = setting(False, bool, identity=False)
    at: tuple[int, ...] = setting((), int, minimum=0, many=True, identity=False)
    images: int = setting(128, int, minimum=2, maximum=100_000, identity=False)

    def __post_init__(self) -> None:
        check(self, "probes.")
        if self.active and not self.at:
            raise ConfigError("probes.at", list(self.at), "a probe needs one iteration or more")

    @property
    def active(self) -> bool:
        """Whether there is anything to record."""
        return self.gradients or self.responses or self.shattering

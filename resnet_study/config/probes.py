"""Which probes measure the network, and when."""

from dataclasses import dataclass

from resnet_study.config.fields import check, setting
from resnet_study.system.errors import ConfigError


@dataclass(frozen=True)
class ProbesConfig:
    """What is recorded besides the metrics; no probe changes the run.

    Attributes:
        gradients: Record the norms of each layer's gradients and its forward variance.
        responses: Record the deviation of each layer's responses (He et al. 2015, Figure 7).
        shattering: Record the autocorrelation of input gradients (Balduzzi et al. 2017).
        at: Iterations after which to probe; 0 is before the first. The schedule's last one
            stands for the trained network, also where a plateau ends the run early.
        images: Number of training images for the probes of gradients and shattering.
    """

    gradients: bool = setting(False, bool, identity=False)
    responses: bool = setting(False, bool, identity=False)
    shattering: bool = setting(False, bool, identity=False)
    at: tuple[int, ...] = setting((), int, minimum=0, many=True, identity=False)
    images: int = setting(128, int, minimum=2, maximum=100_000, identity=False)

    def __post_init__(self) -> None:
        check(self, "probes.")
        if self.active and not self.at:
            raise ConfigError("probes.at", list(self.at), "must name an iteration for the probes")

    @property
    def active(self) -> bool:
        """Whether there is anything to record."""
        return self.gradients or self.responses or self.shattering

"""What a run starts from in place of initial weights."""

from dataclasses import dataclass

from resnet_study.config.fields import check, setting
from resnet_study.system.errors import ConfigError


@dataclass(frozen=True)
class StartConfig:
    """Trained weights that a run starts from, in place of initial ones.

    At most one of the two is set. The other network must be the same as this one, or differ
    from it in depth only and be shallower; identity layers then deepen it.

    Attributes:
        depth: Depth of the shallower run, with the same other settings, whose trained weights
            are used; it is trained first if it is not finished.
        run: Folder of a finished run, or the id of one in the same experiment.
    """

    depth: int | None = setting(None, int, minimum=8, maximum=10_000, optional=True)
    run: str | None = setting(None, str, optional=True, path=True)

    def __post_init__(self) -> None:
        check(self, "start.")
        if self.depth is not None and self.run is not None:
            raise ConfigError("start.run", self.run, "must be null where start.depth is set")

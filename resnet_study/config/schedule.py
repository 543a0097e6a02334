"""Length, learning rate, optimiser and cadence of a run."""

import re
from dataclasses import dataclass, field
from itertools import pairwise

from resnet_study.config.fields import check, reset, setting
from resnet_study.system.errors import ConfigError
from resnet_study.training.optimizers import OPTIMIZERS
from resnet_study.training.schedule import DECAYS

# Training images that an evaluation recomputes batch norm's statistics over, as in pycls.
STATISTICS_IMAGES = 10_000


@dataclass(frozen=True)
class WarmupConfig:
    """A low rate at the start (He et al. 2015, §4.2: for 110 layers).

    It ends, for good, at `iterations` or at the first logged row whose training error is
    below `until_error`, whichever comes first, and at the first milestone at the latest.
    With `start_rate` it is a linear ramp over `iterations` instead (Goyal et al. 2017, §2.2).

    Attributes:
        learning_rate: Rate during the warm-up; has no effect on a ramp.
        start_rate: Rate of the first iteration of a ramp, which rises to the full rate; null
            for a constant rate.
        iterations: Length of the warm-up; null if only `until_error` ends it.
        until_error: Training error in percent below which it ends; null if only `iterations`
            ends it.
        min_depth: Networks with fewer layers have no warm-up.
    """

    learning_rate: float = setting(0.01, float, minimum=0, exclusive=True)
    start_rate: float | None = setting(None, float, minimum=0, optional=True)
    iterations: int | None = setting(None, int, minimum=1, optional=True)
    until_error: float | None = setting(
        80.0, float, minimum=0, maximum=100, exclusive=True, optional=True
    )
    min_depth: int = setting(110, int, minimum=0)

    def __post_init__(self) -> None:
        check(self, "schedule.warmup.")
        if self.start_rate is None:
            return
        if self.iterations is None:
            allowed = "must be set if schedule.warmup.start_rate is set"
            raise ConfigError("schedule.warmup.iterations", None, allowed)
        if self.until_error is not None:
            allowed = "must be null if schedule.warmup.start_rate is set"
            raise ConfigError("schedule.warmup.until_error", self.until_error, allowed)
        reset(self, "learning_rate")

    def applies_to(self, depth: int) -> bool:
        """Whether a network of this depth starts with the warm-up."""
        limited = self.iterations is not None or self.until_error is not None
        return limited and depth >= self.min_depth


@dataclass(frozen=True)
class PlateauConfig:
    """A rate that falls when the test error no longer does (He et al. 2015, §3.4).

    The paper does not define a plateau. Here it is `patience` evaluations in a row without an
    error that is lower than the lowest so far by `improvement` or more.

    Attributes:
        patience: Number of evaluations; null for a rate without such falls.
        improvement: Decrease of the test error, in percentage points, that counts as an
            improvement.
        drops: Largest number of falls.
        stop_early: Whether training ends at the plateau after the last fall instead of at
            `schedule.iterations`.
    """

    patience: int | None = setting(None, int, minimum=1, optional=True)
    improvement: float = setting(0.1, float, minimum=0, maximum=100)
    drops: int = setting(3, int, minimum=1, maximum=20)
    stop_early: bool = setting(False, bool)

    def __post_init__(self) -> None:
        check(self, "schedule.plateau.")


@dataclass(frozen=True)
class ScheduleConfig:
    """Length, rate and cadence of training; all times are iterations, not epochs.

    Attributes:
        name: Name in figures and run ids.
        iterations: Number of mini-batches; fewer with `plateau.stop_early`.
        batch_size: Images in a mini-batch.
        learning_rate: The full rate, from which it falls.
        decay: How the rate falls: "steps", at milestones or plateaus, or in every iteration,
            such as "cosine"; see `training/schedule.py`.
        milestones: Iterations after which the rate is multiplied by `gamma`.
        gamma: Factor of the rate at a milestone or a plateau.
        optimizer: Its name, such as "sgd"; see `training/optimizers.py`.
        momentum: For optimisers that use it, such as SGD.
        weight_decay: On all parameters, as in the paper.
        eval_every: Iterations between evaluations; the last iteration always has one.
        eval_train_images: Number of training images in an evaluation, class-balanced; null for
            all.
        eval_statistics: Batch norm's statistics in an evaluation: "running" ones, or "recomputed"
            over 10,000 augmented training images. The training curve is the same, unless its
            rate falls at plateaus of the test error. Ignored for networks without batch norm.
        log_every: Iterations between logged rows.
        warmup: See `WarmupConfig`.
        plateau: See `PlateauConfig`; used in place of milestones.
    """

    name: str = setting("paper", str, maximum=40)
    iterations: int = setting(64_000, int, minimum=1, maximum=10**9)
    batch_size: int = setting(128, int, minimum=2, maximum=10**7)
    learning_rate: float = setting(0.1, float, minimum=0, exclusive=True)
    decay: str = setting("steps", str, choices=tuple(DECAYS))
    milestones: tuple[int, ...] = setting((32_000, 48_000), int, minimum=1, many=True)
    gamma: float = setting(0.1, float, minimum=1e-6, maximum=1)
    optimizer: str = setting("sgd", str, choices=tuple(OPTIMIZERS))
    momentum: float = setting(0.9, float, minimum=0, maximum=1)
    weight_decay: float = setting(1e-4, float, minimum=0)
    eval_every: int = setting(500, int, minimum=1)
    eval_train_images: int | None = setting(10_000, int, minimum=1, optional=True)
    eval_statistics: str = setting("running", str, choices=("running", "recomputed"))
    log_every: int = setting(100, int, minimum=1)
    warmup: WarmupConfig = field(default_factory=WarmupConfig)
    plateau: PlateauConfig = field(default_factory=PlateauConfig)

    def __post_init__(self) -> None:
        check(self, "schedule.")
        if not re.fullmatch(r"[\w-]+", self.name):
            raise ConfigError("schedule.name", self.name, "must be letters, digits, - and _")
        if self.plateau.patience is None:
            # Without a plateau, its other settings have no effect and must not make another id.
            object.__setattr__(self, "plateau", PlateauConfig())
        if not OPTIMIZERS[self.optimizer].momentum:
            reset(self, "momentum")
        self._check_decay()
        self._check_warmup()

    def _check_decay(self) -> None:
        milestones, patience = list(self.milestones), self.plateau.patience
        other = None if patience is None else f"schedule.plateau.patience={patience}"
        if self.decay != "steps":
            reset(self, "gamma")
            other = f"schedule.decay={self.decay}"
            if patience is not None:
                allowed = f"must be null with {other}"
                raise ConfigError("schedule.plateau.patience", patience, allowed)
        if milestones and other:
            raise ConfigError("schedule.milestones", milestones, f"must be [] with {other}")
        if any(one >= two for one, two in pairwise((0, *milestones, self.iterations))):
            allowed = (
                "must be increasing iterations before the end at "
                f"schedule.iterations={self.iterations}"
            )
            raise ConfigError("schedule.milestones", milestones, allowed)

    def _check_warmup(self) -> None:
        iterations, rate = self.warmup.iterations, self.warmup.start_rate
        if iterations is not None and iterations >= self.iterations:
            allowed = f"must be less than schedule.iterations={self.iterations}"
            raise ConfigError("schedule.warmup.iterations", iterations, allowed)
        if rate is not None and rate > self.learning_rate:
            allowed = f"must be at most schedule.learning_rate={self.learning_rate}"
            raise ConfigError("schedule.warmup.start_rate", rate, allowed)

    @property
    def recomputes(self) -> bool:
        """Whether evaluations recompute batch norm's statistics."""
        return self.eval_statistics == "recomputed"

    @property
    def changes_each_iteration(self) -> bool:
        """Whether the rate changes in every iteration rather than in a few steps."""
        return self.decay != "steps" or self.warmup.start_rate is not None


@dataclass(frozen=True)
class CheckpointConfig:
    """When the state of a run is saved.

    Attributes:
        every: Iterations between checkpoints.
    """

    every: int = setting(1000, int, minimum=1, identity=False)

    def __post_init__(self) -> None:
        check(self, "checkpoint.")

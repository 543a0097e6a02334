"""The groups of settings that a run's description is made of, each with its rules."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePath

from resnet_study.errors import ConfigError
from resnet_study.fields import check, setting

KINDS = ("plain", "residual")
SHORTCUTS = ("A", "B", "C")
DATA_SETS = ("shapes", "cifar10", "cifar100", "image_folder")
LABELS = {"shapes": "embedded shapes", "cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}


@dataclass(frozen=True)
class ModelConfig:
    """A network of the 6n+2 family (He et al. 2015, §4.2).

    Attributes:
        kind: "plain" or "residual".
        depth: Weighted layers, 6n+2.
        shortcut: Option "A", "B" or "C"; a plain network has none, whatever is given.
        width: Filters of the first stage.
        layers_per_block: Convolutions that one shortcut spans; it must divide 2n.
        init: "he" or "xavier".
        norm: "batch", or "none" for the control without batch norm.
    """

    kind: str = setting("residual", str, choices=KINDS)
    depth: int = setting(20, int, minimum=8, maximum=10_000)
    shortcut: str | None = setting("A", str, choices=SHORTCUTS, optional=True)
    width: int = setting(16, int, minimum=1, maximum=4096)
    layers_per_block: int = setting(2, int, minimum=1)
    init: str = setting("he", str, choices=("he", "xavier"))
    norm: str = setting("batch", str, choices=("batch", "none"))

    def __post_init__(self) -> None:
        check(self, "model.")
        n, rest = divmod(self.depth - 2, 6)
        if rest:
            allowed = "allowed is 6n+2 with n >= 1, such as 20, 32, 44, 56 or 110"
            raise ConfigError("model.depth", self.depth, allowed)
        if self.kind == "plain":
            # Without shortcuts neither option nor span exists: all such runs are one.
            object.__setattr__(self, "shortcut", None)
            object.__setattr__(self, "layers_per_block", 2)
        elif self.shortcut is None:
            raise ConfigError("model.shortcut", None, "a residual network needs one of A, B, C")
        if 2 * n % self.layers_per_block:
            divisors = [str(d) for d in range(1, 2 * n + 1) if 2 * n % d == 0]
            raise ConfigError(
                "model.layers_per_block",
                self.layers_per_block,
                f"at depth {self.depth} a stage has {2 * n} layers; allowed are its "
                f"divisors {', '.join(divisors)}",
            )

    @property
    def family(self) -> str:
        """The name in figures and run ids: "plain", "residual-A", …"""
        return self.kind if self.shortcut is None else f"{self.kind}-{self.shortcut}"


@dataclass(frozen=True)
class AugmentConfig:
    """Training augmentation (He et al. 2015, §4.2); off with padding 0 and flip false.

    Attributes:
        padding: Zero pixels on each side before the random crop.
        flip: Whether half of the images are mirrored left to right.
        colour: Standard deviation of the shift along the principal components of the
            training set's RGB values, in units of each component's own deviation; 0 for
            none. Krizhevsky et al. 2012 have 0.1.
    """

    padding: int = setting(4, int, minimum=0, maximum=1024)
    flip: bool = setting(True, bool)
    colour: float = setting(0.0, float, minimum=0, maximum=10)

    def __post_init__(self) -> None:
        check(self, "data.augment.")


@dataclass(frozen=True)
class DataConfig:
    """A data set held on the device.

    Attributes:
        name: "shapes", "cifar10", "cifar100" or "image_folder".
        root: Folder of downloads and caches, or the image folder itself.
        label: What figures call the data; an image folder's name if null.
        resolution: Images are reduced to this side, by area; null keeps the original.
        train_images: Size of a class-balanced subset of the training set; null for all.
        validation_images: Taken off the training set, class-balanced, and evaluated in
            place of the test set; 0 for none. The paper's split is 5,000.
        classes: Only the first so many classes; null for all.
        cache: Folder of decoded and generated arrays.
    """

    name: str = setting("cifar10", str, choices=DATA_SETS)
    root: str | None = setting(None, str, optional=True, identity=False)
    label: str | None = setting(None, str, optional=True, maximum=80)
    resolution: int | None = setting(None, int, minimum=4, maximum=4096, optional=True)
    train_images: int | None = setting(None, int, minimum=1, optional=True)
    validation_images: int = setting(0, int, minimum=0)
    classes: int | None = setting(None, int, minimum=2, optional=True)
    cache: str = setting("data/cache", str, identity=False)
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        check(self, "data.")
        if self.name == "image_folder" and self.root is None:
            raise ConfigError(
                "data.root", None, "allowed is a folder with train/<class>/ and test/<class>/"
            )
        if not self.title or len(self.title) > 80:
            raise ConfigError(
                "data.label",
                self.label,
                f"data.root={self.root} gives no short name; allowed is one",
            )

    @property
    def title(self) -> str:
        """The name on figures, such as "CIFAR-10" or an image folder's label."""
        if self.label is not None:
            return self.label
        if self.name == "image_folder":
            return PurePath(self.root or "").name
        return LABELS[self.name]


@dataclass(frozen=True)
class WarmupConfig:
    """A low rate at the start (He et al. 2015, §4.2: for 110 layers).

    It ends, for good, at `iterations` or at the first logged row whose training error is
    below `until_error`, whichever comes first, and at the first milestone at the latest.

    Attributes:
        learning_rate: Rate during the warm-up.
        iterations: Its length; null for no limit of this kind.
        until_error: Training error in percent that ends it; null for no such end.
        min_depth: Networks with fewer layers have no warm-up.
    """

    learning_rate: float = setting(0.01, float, minimum=0, exclusive=True)
    iterations: int | None = setting(None, int, minimum=1, optional=True)
    until_error: float | None = setting(
        80.0, float, minimum=0, maximum=100, exclusive=True, optional=True
    )
    min_depth: int = setting(110, int, minimum=0)

    def __post_init__(self) -> None:
        check(self, "schedule.warmup.")

    def applies_to(self, depth: int) -> bool:
        """Whether a network of this depth starts with the warm-up."""
        limited = self.iterations is not None or self.until_error is not None
        return limited and depth >= self.min_depth


@dataclass(frozen=True)
class ScheduleConfig:
    """How long and how fast to train; all times are iterations, not epochs.

    Attributes:
        name: What figures call it.
        iterations: Mini-batches in all.
        batch_size: Images of a mini-batch.
        learning_rate: Rate before the first milestone.
        milestones: Iterations after which the rate is multiplied by `gamma`.
        gamma: Factor at a milestone.
        momentum: Of SGD, not Nesterov's.
        weight_decay: On all parameters, as in the paper.
        eval_every: Iterations between evaluations; the last iteration always has one.
        eval_train_images: Training images in an evaluation, class-balanced; null for all.
        log_every: Iterations between logged rows.
        warmup: See `WarmupConfig`.
    """

    name: str = setting("paper", str, maximum=40)
    iterations: int = setting(64_000, int, minimum=1, maximum=10**9)
    batch_size: int = setting(128, int, minimum=2, maximum=10**7)
    learning_rate: float = setting(0.1, float, minimum=0, exclusive=True)
    milestones: tuple[int, ...] = setting((32_000, 48_000), int, minimum=1, many=True)
    gamma: float = setting(0.1, float, minimum=1e-6, maximum=1)
    momentum: float = setting(0.9, float, minimum=0, maximum=1)
    weight_decay: float = setting(1e-4, float, minimum=0)
    eval_every: int = setting(500, int, minimum=1)
    eval_train_images: int | None = setting(10_000, int, minimum=1, optional=True)
    log_every: int = setting(100, int, minimum=1)
    warmup: WarmupConfig = field(default_factory=WarmupConfig)

    def __post_init__(self) -> None:
        check(self, "schedule.")
        if not re.fullmatch(r"[\w-]+", self.name):
            raise ConfigError("schedule.name", self.name, "allowed are letters, digits, - and _")
        previous = 0
        for milestone in self.milestones:
            if not previous < milestone < self.iterations:
                raise ConfigError(
                    "schedule.milestones",
                    list(self.milestones),
                    "allowed are increasing iterations before the end at "
                    f"schedule.iterations={self.iterations}",
                )
            previous = milestone
        if self.warmup.iterations is not None and self.warmup.iterations >= self.iterations:
            raise ConfigError(
                "schedule.warmup.iterations",
                self.warmup.iterations,
                f"allowed is less than schedule.iterations={self.iterations}",
            )


@dataclass(frozen=True)
class CheckpointConfig:
    """When a run's state is saved.

    Attributes:
        every: Iterations between checkpoints.
    """

    every: int = setting(1000, int, minimum=1, identity=False)

    def __post_init__(self) -> None:
        check(self, "checkpoint.")


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
        at: Iterations after which to look; 0 is before the first.
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

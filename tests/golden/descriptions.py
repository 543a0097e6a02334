"""The runs that golden tests train: as command lines, so that any commit can be given them."""

_FEW = (
    *("schedule.eval_train_images=50", "schedule.log_every=1", "schedule.warmup.iterations=null"),
    *("schedule.warmup.start_rate=null", "schedule.warmup.learning_rate=0.02"),
    *("threads=1", "device=cpu", "data.cache=cache", "runs_dir=runs", "experiment_name=golden"),
)
_SHAPES = (
    *("data.resolution=8", "data.train_images=200", "model.width=4", "model.depth=8"),
    *("schedule.batch_size=32", "schedule.iterations=10", "schedule.milestones=[7]"),
    *("schedule.learning_rate=0.05", "schedule.eval_every=5", *_FEW),
)
# Where a network sees 32×32 pixels, one is left in the last stage, and rounding soon grows.
_STREAMED = (
    *("model=residual_imagenet", "model.depth=18", "model.width=4", "data=streamed_folder"),
    *("data.root=pictures", "data.resolution=null", "data.train_images=null"),
    *("data.stream.crop=64", "data.stream.scale=[68,80]", "data.stream.test_scale=72"),
    *("data.stream.workers=0", "schedule.batch_size=16", "schedule.learning_rate=0.0001"),
    *("schedule.iterations=10", "schedule.milestones=[]", "schedule.eval_every=5", *_FEW),
)

# What golden tests train; their curves are in `curves/`.
GOLDEN = {
    "plain": ("model=plain", *_SHAPES),
    "residual-B": ("model=residual", "model.shortcut=B", *_SHAPES),
    "resumed": ("model=residual", "model.shortcut=A", "seed=1", "checkpoint.every=1000", *_SHAPES),
    "streamed": _STREAMED,
    "processes": ("model=plain", "seed=2", "kernels=torch", "batch_norm_parts=2", *_SHAPES),
}

_LONGER = ("schedule.iterations=60", "schedule.milestones=[40]", "schedule.eval_every=20")
_ALL_PROBES = ("gradients=true", "responses=true", "shattering=true", "at=[0,60]", "images=16")
_INTERRUPTED = ("schedule.iterations=1000", "schedule.log_every=10", "schedule.eval_every=500")


def _but(words: tuple[str, ...], *changes: str) -> tuple[str, ...]:
    """Words of which some are replaced."""
    keys = {change.partition("=")[0] for change in changes}
    return (*(word for word in words if word.partition("=")[0] not in keys), *changes)


# What `compare_commits` trains with two commits.
COMPARED = {
    "plain": _but(GOLDEN["plain"], *_LONGER, *(f"probes.{setting}" for setting in _ALL_PROBES)),
    "residual-B": _but(GOLDEN["residual-B"], *_LONGER),
    "resumed": _but(GOLDEN["resumed"], *_INTERRUPTED),
    "deepened": _but(GOLDEN["resumed"], *_LONGER, "model.depth=14", "start.depth=8"),
    "colour": _but(GOLDEN["plain"], *_LONGER, "data.augment.colour=0.1", "precision=bf16"),
    "streamed": _but(_STREAMED, "data.stream.workers=1"),
    "processes": _but(GOLDEN["processes"], *_LONGER),
}

"""The networks that the benchmark trains, at the paper's scale and at the quick one."""

from dataclasses import replace

from resnet_study.config import RunConfig
from resnet_study.system.errors import ConfigError

NEVER = 10**7
# Runs without an end and without evaluations: the benchmark stops them. The paper's scale is
# width 16, 32×32 pixels, batches of 128, a row every 100 and a checkpoint every 1,000 iterations.
PAPER = RunConfig.from_mapping(
    {
        "data": {"name": "shapes"},
        "schedule": {
            "iterations": NEVER,
            "learning_rate": 0.01,
            "milestones": [],
            "eval_every": NEVER,
            "eval_train_images": 1000,
            "warmup": {"until_error": None},
        },
        "experiment_name": "benchmark",
    }
)
# As in experiment=quick.
QUICK = replace(
    PAPER,
    model=replace(PAPER.model, width=8),
    data=replace(PAPER.data, resolution=16, augment=replace(PAPER.data.augment, padding=2)),
    schedule=replace(PAPER.schedule, batch_size=64, log_every=50),
    checkpoint=replace(PAPER.checkpoint, every=250),
)
SCALES = {"ResNet": PAPER, "quick": QUICK}
DEFAULT = tuple(f"{scale}-{depth}" for scale in SCALES for depth in (20, 56, 110))


def run_of(network: str) -> RunConfig:
    """Returns an endless run of a residual network with option A on the embedded shapes.

    Plain networks lack only the additions, and take the same time to within a few percent.

    Args:
        network: Scale and number of weighted layers, such as "ResNet-56" or "quick-20".

    Raises:
        ConfigError: There is no such network.
    """
    scale, _, depth = network.partition("-")
    try:
        config = SCALES[scale]
        return replace(config, model=replace(config.model, depth=int(depth)))
    except (KeyError, ValueError, ConfigError) as error:
        limit = "must be ResNet-DEPTH or quick-DEPTH, with a depth of 6n+2"
        raise ConfigError("networks", network, limit) from error

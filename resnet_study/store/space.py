"""Disk space that runs need, and that is free."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from resnet_study.config import RunConfig
from resnet_study.system.errors import StorageError
from resnet_study.training.optimizers import OPTIMIZERS


def checkpoint_bytes(config: RunConfig) -> int:
    """Disk that one checkpoint takes at most: weights and what the optimiser keeps for each."""
    model = config.model
    # The number of classes is not known here; 1,000 are enough for ImageNet.
    parameters = model.design.parameters(model, classes=1000)
    copies = 1 + OPTIMIZERS[config.schedule.optimizer].tensors
    # 1,000 numbers per layer are enough for its names and batch-norm statistics.
    return 4 * copies * (parameters + 1000 * model.depth) + _rows_bytes(config)


def kept_bytes(config: RunConfig) -> int:
    """Disk that a finished run takes at most: one checkpoint and its text files."""
    return checkpoint_bytes(config) + _rows_bytes(config) + 20_000


def estimated_bytes(config: RunConfig) -> int:
    """Disk that a run takes at its largest: three checkpoints and its text files.

    Two checkpoints are kept and a third exists while it is written.
    """
    return 2 * checkpoint_bytes(config) + kept_bytes(config)


def _rows_bytes(config: RunConfig) -> int:
    schedule = config.schedule
    rows = schedule.iterations // schedule.log_every + schedule.iterations // schedule.eval_every
    return 200 * rows


def free_bytes(runs_dir: str) -> int:
    """Free bytes on the disk that holds, or would hold, `runs_dir`."""
    folder = Path(runs_dir).resolve()
    return shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.exists())).free


def check_space(configs: Sequence[RunConfig]) -> None:
    """Compares the disk that runs will need with what is free.

    Raises:
        StorageError: It is not enough.
    """
    free = free_bytes(configs[0].runs_dir)
    needed = sum(estimated_bytes(config) for config in configs)
    if needed > free:
        allowed = (
            f"{free / 1e6:,.0f} MB are free there, and "
            f"{f'{len(configs)} runs need' if len(configs) > 1 else 'one run needs'} about "
            f"{needed / 1e6:,.0f} MB"
        )
        raise StorageError("runs_dir", configs[0].runs_dir, allowed)

"""Loggers besides metrics.csv; each needs the extra of its name."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from resnet_study.config import RunConfig
from resnet_study.store.tensorboard import EventLog
from resnet_study.store.wandb import WandbLog
from resnet_study.system.errors import ConfigError

Logger = EventLog | WandbLog


def check_loggers(config: RunConfig) -> None:
    """Checks that the chosen loggers are installed.

    Raises:
        ConfigError: One is not.
    """
    for name in config.loggers:
        # A folder of that name, such as W&B's own, has a spec but no origin.
        if getattr(find_spec(name), "origin", None) is None:
            raise ConfigError("logger", name, f"needs the extra: pip install -e '.[{name}]'")


def open_loggers(config: RunConfig, folder: Path, manifest: dict[str, Any]) -> Iterator[Logger]:
    """Opens the chosen loggers; each must be given all rows of the run, old ones first."""
    for name in config.loggers:
        yield EventLog(folder) if name == "tensorboard" else WandbLog(config, folder, manifest)

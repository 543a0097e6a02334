"""Metrics as TensorBoard event files beside metrics.csv (the extra `tensorboard`)."""

import csv
import io
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from resnet_study.system.errors import ConfigError
from resnet_study.training.events import Row


def check_logger(logger: str) -> None:
    """Checks that the chosen logger is installed.

    Raises:
        ConfigError: It is not.
    """
    if logger == "tensorboard" and find_spec("tensorboard") is None:
        raise ConfigError("logger", logger, "needs the extra: pip install -e '.[tensorboard]'")


class EventLog:
    """Writes rows of metrics where the chosen logger wants them; "none" writes nothing.

    Each start begins a new event file, which tells readers to forget what earlier files of
    the run hold and repeats the rows there are. So a resumed run has no point twice and no
    gap, whichever way it ended and whichever logger it had before.

    Args:
        logger: "none" or "tensorboard".
        folder: The run's folder.
        text: metrics.csv as it stands, with its header.
    """

    def __init__(self, logger: str, folder: Path, text: str) -> None:
        self._writer: Any = None
        if logger == "none":
            return
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=0)
        for columns in csv.DictReader(io.StringIO(text)):
            values = {name: float(value) for name, value in columns.items() if value}
            self.append(Row(int(values.pop("iteration")), **values))

    def append(self, row: Row) -> None:
        """Writes each column of a row as a scalar of its name at the row's iteration."""
        if self._writer is None:
            return
        for name, value in vars(row).items():
            if name != "iteration" and value is not None:
                self._writer.add_scalar(name, value, row.iteration)
        self._writer.flush()

    def close(self) -> None:
        """Ends the file."""
        if self._writer is not None:
            self._writer.close()

"""Metrics as TensorBoard event files besides metrics.csv (the extra `tensorboard`)."""

from pathlib import Path

from resnet_study.training.events import Row


class EventLog:
    """Writes rows of metrics as TensorBoard's scalars.

    Each start begins a new event file, which tells readers to forget the run's earlier files;
    its first rows must be all rows so far. So a resumed run has no repeated points and no gaps,
    however it ended and whichever logger it had before.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=0)

    def append(self, row: Row) -> None:
        """Writes each column of a row as a scalar of its name at the row's iteration."""
        for name, value in vars(row).items():
            if name != "iteration" and value is not None:
                self._writer.add_scalar(name, value, row.iteration)
        self._writer.flush()

    def close(self, _complete: bool) -> None:
        """Ends the file; TensorBoard does not show whether a run is complete."""
        self._writer.close()

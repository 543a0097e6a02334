"""What the training loop reports while it trains."""

from dataclasses import dataclass


@dataclass
class Row:
    """A row of metrics.csv; losses in nats, errors in percent.

    Attributes:
        iteration: Iterations completed.
        epoch: The same in passes over the training set.
        learning_rate: Rate of the last iteration.
        train_loss: Running mean over the augmented mini-batches since the last row.
        train_error: Likewise; the paper's training error.
        clean_train_loss: Of training images in evaluation mode, without augmentation.
        clean_train_error: Likewise.
        test_loss: Of the test images, or of the images held out for validation.
        test_error: Likewise.
        seconds: Time spent in the loop so far, evaluations included.
        images_per_second: Training speed since the last row.
        waiting: Percent of the training time since the last row in which the loop waited for
            data; shown to users, but not a column of the file.
    """

    iteration: int
    epoch: float | None = None
    learning_rate: float | None = None
    train_loss: float | None = None
    train_error: float | None = None
    clean_train_loss: float | None = None
    clean_train_error: float | None = None
    test_loss: float | None = None
    test_error: float | None = None
    seconds: float | None = None
    images_per_second: float | None = None
    waiting: float | None = None


@dataclass(frozen=True)
class Begun:
    """A run begins without a checkpoint; nothing is trained yet."""


@dataclass(frozen=True)
class Completed:
    """An iteration is complete, and its row, where one is due, has been reported.

    Attributes:
        iteration: Iterations completed.
    """

    iteration: int


@dataclass(frozen=True)
class Ended:
    """The last event of a run.

    Attributes:
        diverged: Whether the training loss stopped being finite.
    """

    diverged: bool


Event = Row | Begun | Completed | Ended

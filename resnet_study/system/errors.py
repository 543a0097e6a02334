"""Errors for users: each names the field, the value and what to do."""

import os
import sys
import warnings
from contextlib import suppress


class StudyError(Exception):
    """A problem that the user can fix; printed as one line, never as a traceback.

    Args:
        field: The config key or path that is wrong, as the user would type it.
        value: The offending value.
        allowed: The rule that it breaks ("must be …"), or what is wrong and what to do.
    """

    def __init__(self, field: str, value: object, allowed: str) -> None:
        # All three in `args`, so that the error can be pickled on its way from a worker process.
        super().__init__(field, value, allowed)
        self.field = field
        self.value = value
        self.allowed = allowed

    def __str__(self) -> str:
        shown = "null" if self.value is None else str(self.value)
        return " ".join(f"{self.field}={shown}: {self.allowed}".split())


class ConfigError(StudyError):
    """A value in the run's description breaks a rule."""


class DataError(StudyError):
    """The data set is missing, inconsistent or unreadable."""


class ImageError(DataError):
    """An image cannot be read; with several processes, only one of them knows."""


class ShortageError(ConfigError):
    """There is too little memory; with several processes, only one of them knows."""


class DeviceError(StudyError):
    """The requested device does not exist."""


class StorageError(StudyError):
    """A file or folder cannot be read or written, or holds something unexpected."""


class CheckpointError(StudyError):
    """A checkpoint is damaged, or does not belong to the run."""


class StudyWarning(UserWarning):
    """Something that the user should know, though the work continues."""


def warn(text: str) -> None:
    """Warns the user in one line."""
    warnings.warn(StudyWarning(text), stacklevel=3)


def say(text: str) -> None:
    """Prints a line for the user that is not part of a command's output."""
    # Work goes on when the terminal, or the reader of the log, is gone.
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def reader_has_left() -> None:
    """Keeps Python from flushing into a pipe whose reader, such as `head`, has ended."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

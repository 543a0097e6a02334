"""Errors meant for the user: each names the field, the value and what is allowed."""

from __future__ import annotations

import os
import sys
import warnings


class StudyError(Exception):
    """A problem that the user can mend; printed as one line, never as a traceback.

    Args:
        field: The config key or path that is wrong, as the user would type it.
        value: The offending value.
        allowed: What would be accepted instead, in words.
    """

    def __init__(self, field: str, value: object, allowed: str) -> None:
        # The three arguments stay in `args`, so that the error survives pickling on
        # its way back from a worker process.
        super().__init__(field, value, allowed)
        self.field = field
        self.value = value
        self.allowed = allowed

    def __str__(self) -> str:
        shown = "null" if self.value is None else str(self.value)
        return " ".join(f"{self.field}={shown}: {self.allowed}".split())


class ConfigError(StudyError):
    """A value in the run's description is not allowed."""


class DataError(StudyError):
    """The data set is missing, inconsistent or unreadable."""


class ImageError(DataError):
    """An image cannot be read; of several processes only the one that met it knows."""


class DeviceError(StudyError):
    """The requested device is not there."""


class StorageError(StudyError):
    """A folder or file under `runs_dir` cannot be written or is not ours."""


class CheckpointError(StudyError):
    """A checkpoint is damaged, or does not belong to the run."""


class StudyWarning(UserWarning):
    """Something the user should know, though the work goes on."""


def warn(text: str) -> None:
    """Warns the user in one line."""
    warnings.warn(StudyWarning(text), stacklevel=3)


def reader_has_left() -> None:
    """Keeps Python from flushing into a pipe whose reader, such as `head`, has seen enough."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

"""Run folders: where a run lives, what state it is in, and the files that say so."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from resnet_study.config import RunConfig
from resnet_study.errors import StorageError
from resnet_study.files import reason, write_text

STATES = ("running", "finished", "failed", "diverged")
# A diverged run would diverge again: its curve is its result.
COMPLETE = ("finished", "diverged")

METRICS = (
    "iteration",
    "epoch",
    "learning_rate",
    "train_loss",
    "train_error",
    "clean_train_loss",
    "clean_train_error",
    "test_loss",
    "test_error",
    "seconds",
    "images_per_second",
)


@dataclass(frozen=True)
class RunRecord:
    """What is known of a run from its folder.

    Attributes:
        folder: The run's folder.
        manifest: State, versions, device, times, counts; see the README.
    """

    folder: Path
    manifest: dict[str, Any]

    @property
    def run_id(self) -> str:
        return self.folder.name

    @property
    def state(self) -> str:
        return str(self.manifest["state"])


class RunFolder:
    """One run's folder, `<runs_dir>/<experiment>/<run id>`.

    Args:
        path: The folder; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / "config.yaml"
        self.manifest_file = path / "manifest.json"
        self.metrics_file = path / "metrics.csv"
        self.failure_file = path / "failure.txt"

    @classmethod
    def of(cls, config: RunConfig) -> RunFolder:
        """The folder that belongs to a run's description."""
        return cls(Path(config.runs_dir) / config.experiment_name / config.run_id)

    @contextmanager
    def lock(self, wait: bool = True) -> Iterator[bool]:
        """Holds the run, so that no two processes train it at once.

        The lock is the operating system's (flock), so it goes with the process that held
        it, however that ended.

        Args:
            wait: Whether to wait for another process that holds the run.

        Yields:
            Whether the run is held: always True with `wait`.

        Raises:
            StorageError: The folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / ".lock")
            lock.acquire(timeout=-1 if wait else 0)
        except Timeout:
            yield False
            return
        except OSError as error:
            raise StorageError(
                "runs_dir", self.path, f"cannot be written ({reason(error)})"
            ) from error
        try:
            yield True
        finally:
            lock.release()

    def read_manifest(self) -> dict[str, Any] | None:
        """The manifest, or None where the run has not begun.

        Raises:
            StorageError: The file is not a manifest.
        """
        try:
            manifest = json.loads(self.manifest_file.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise StorageError(
                "manifest", self.manifest_file, f"cannot be read ({error})"
            ) from error
        if not isinstance(manifest, dict) or manifest.get("state") not in STATES:
            raise StorageError(
                "manifest", self.manifest_file, f"has no state; allowed are {', '.join(STATES)}"
            )
        return manifest

    def completed(self) -> RunRecord | None:
        """The record of a finished or diverged run, else None; a folder alone is neither."""
        manifest = self.read_manifest()
        if manifest is not None and manifest["state"] in COMPLETE:
            return RunRecord(self.path, manifest)
        return None

    def write_config(self, config: RunConfig) -> None:
        """Writes config.yaml."""
        write_text(self.config_file, yaml.safe_dump(config.to_mapping(), sort_keys=False))

    def read_config(self) -> RunConfig:
        """Reads config.yaml.

        Raises:
            StorageError: The file is missing or not YAML.
            ConfigError: A key or value in it is not allowed.
        """
        try:
            values = yaml.safe_load(self.config_file.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            short = str(error).splitlines()[0]
            raise StorageError("config", self.config_file, f"cannot be read ({short})") from error
        return RunConfig.from_mapping(values)

    def write_manifest(self, manifest: Mapping[str, Any]) -> RunRecord:
        """Writes manifest.json whole, and returns the record."""
        write_text(self.manifest_file, json.dumps(manifest, indent=2) + "\n")
        return RunRecord(self.path, dict(manifest))

    def last_row(self) -> dict[str, str] | None:
        """The last whole row of metrics.csv, unparsed; None where there is none."""
        try:
            with self.metrics_file.open("rb") as stream:
                header = stream.readline()
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(len(header), size - 2000))
                tail = stream.read()
        except OSError:
            return None
        # Whole lines only: a row that is being written never reaches a reader.
        lines = tail[: tail.rfind(b"\n") + 1].decode(errors="replace").splitlines()
        if not lines:
            return None
        return dict(zip(header.decode().strip().split(","), lines[-1].split(","), strict=False))


class MetricsLog:
    """metrics.csv, written row by row at full precision.

    Args:
        path: The file; it is begun anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        write_text(path, ",".join(METRICS) + "\n")

    def append(self, row: Mapping[str, float | int | None]) -> None:
        """Appends a row; columns that it lacks stay empty.

        Raises:
            StorageError: The file cannot be written.
        """
        line = io.StringIO()
        writer = csv.DictWriter(line, METRICS, lineterminator="\n")
        writer.writerow(row)
        try:
            # One write per row: a reader sees the row whole or not at all.
            with self.path.open("ab", buffering=0) as stream:
                stream.write(line.getvalue().encode())
        except OSError as error:
            raise StorageError(
                "metrics", self.path, f"cannot be written ({reason(error)})"
            ) from error

"""Run folders: where a run lives, what state it is in, and the files that say so."""

from __future__ import annotations

import csv
import errno
import hashlib
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
from resnet_study.files import reason, remove_temporaries, write_text

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
        self.checkpoint_file = path / "checkpoint.pt"
        self.previous_checkpoint_file = path / "checkpoint.previous.pt"
        self.fresh_checkpoint_file = path / "checkpoint.new"

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

    def remove_temporaries(self) -> None:
        """Removes half-written files of a process that was killed; the lock must be held."""
        names = vars(self).values()
        for file in (path for path in names if isinstance(path, Path) and path != self.path):
            remove_temporaries(file)

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

    def read_metrics(self) -> str:
        """metrics.csv as text, whole rows only, checked against the manifest's seal.

        A last row that is still being written is left out. Of a run in progress the part
        up to its last checkpoint is sealed, of a finished one the whole file.

        Raises:
            StorageError: The file is missing or damaged.
        """
        manifest = self.read_manifest() or {}
        try:
            content = self.metrics_file.read_bytes()
        except OSError as error:
            raise StorageError(
                "metrics", self.metrics_file, f"cannot be read ({reason(error)})"
            ) from error
        if seal := manifest.get("metrics"):
            sealed = content[: seal["bytes"]]
            longer = manifest["state"] in COMPLETE and len(content) != seal["bytes"]
            if longer or hashlib.sha256(sealed).hexdigest() != seal["sha256"]:
                raise StorageError("metrics", self.metrics_file, "is damaged: its checksum differs")
        try:
            return content[: content.rfind(b"\n") + 1].decode("ascii")
        except UnicodeDecodeError as error:
            raise StorageError("metrics", self.metrics_file, "is damaged") from error

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
        text: What it begins with, from a checkpoint; the header if empty.
    """

    def __init__(self, path: Path, text: str = "") -> None:
        self.path = path
        self.text = text or ",".join(METRICS) + "\n"
        write_text(path, self.text)

    def append(self, row: Mapping[str, float | int | None]) -> None:
        """Appends a row; columns that it lacks stay empty.

        Raises:
            StorageError: The file cannot be written, or has been removed or changed.
        """
        stream = io.StringIO()
        csv.DictWriter(stream, METRICS, lineterminator="\n").writerow(row)
        line = stream.getvalue().encode()
        try:
            # Not O_CREAT: a file that was removed under way must not come back without
            # its first rows. One write per row: a reader sees a row whole or not at all.
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
            try:
                size = os.fstat(descriptor).st_size
                if size != len(self.text):
                    raise StorageError("metrics", self.path, "was changed by someone else")
                if os.write(descriptor, line) != len(line):
                    os.ftruncate(descriptor, size)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StorageError(
                "metrics", self.path, f"cannot be written ({reason(error)})"
            ) from error
        self.text += line.decode()

    def seal(self) -> dict[str, int | str]:
        """Length and checksum of what has been written, for the manifest."""
        content = self.text.encode()
        return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

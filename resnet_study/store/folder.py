"""Run folders: names of files, lock, manifest, rows of metrics."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from resnet_study.config import RunConfig
from resnet_study.system.errors import StorageError
from resnet_study.system.files import reason, remove_temporaries, storage, write_text
from resnet_study.system.locks import locked

# Both load plain values only; the one in C, where installed, is seven times as fast.
YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

STATES = ("running", "finished", "failed", "diverged")
# A diverged run would diverge again, so its curve is its result.
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
PROBES = ("iteration", "measure", "position", "name", "value")


@dataclass(frozen=True)
class RunRecord:
    """A run as its folder describes it.

    Attributes:
        folder: The run's folder.
        manifest: State, versions, device, times, counts; see docs/files.md.
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
        self.probes_file = path / "probes.csv"
        self.failure_file = path / "failure.txt"
        self.checkpoint_file = path / "checkpoint.pt"
        self.previous_checkpoint_file = path / "checkpoint.previous.pt"
        self.fresh_checkpoint_file = path / "checkpoint.new"

    @classmethod
    def of(cls, config: RunConfig) -> RunFolder:
        """The folder of a run."""
        return cls(Path(config.runs_dir) / config.experiment_name / config.run_id)

    def lock(self, wait: Callable[[], bool]) -> AbstractContextManager[bool]:
        """Locks the run, so that no two processes train it at the same time; see `locked`.

        Args:
            wait: Called every second while another process holds the lock; returns whether to
                wait on.
        """
        return locked(self.path / ".lock", "runs_dir", wait)

    def held(self) -> bool:
        """Whether a process is training the run."""
        if not (self.path / ".lock").exists():
            return False
        with self.lock(lambda: False) as mine:
            return not mine

    def remove_temporaries(self) -> None:
        """Removes half-written files of a killed process; the caller must hold the lock."""
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
            why = reason(error) if isinstance(error, OSError) else str(error)
            raise StorageError("manifest", self.manifest_file, f"cannot be read ({why})") from error
        if not isinstance(manifest, dict) or manifest.get("state") not in STATES:
            raise StorageError("manifest", self.manifest_file, "has no known state")
        return manifest

    def state(self) -> str | None:
        """The run's state, "damaged" where its manifest cannot be read, None before it begins."""
        try:
            manifest = self.read_manifest()
        except StorageError:
            return "damaged"
        return None if manifest is None else str(manifest["state"])

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
            values = yaml.load(self.config_file.read_text(encoding="utf-8"), YAML_LOADER)  # noqa: S506
        except (OSError, ValueError, yaml.YAMLError) as error:
            short = reason(error) if isinstance(error, OSError) else str(error).splitlines()[0]
            raise StorageError("config", self.config_file, f"cannot be read ({short})") from error
        return RunConfig.from_mapping(values)

    def write_manifest(self, manifest: Mapping[str, Any]) -> RunRecord:
        """Writes manifest.json whole, and returns the record."""
        write_text(self.manifest_file, json.dumps(manifest, indent=2) + "\n")
        return RunRecord(self.path, dict(manifest))

    def read_metrics(self) -> str:
        """metrics.csv as text, in whole rows, checked against the checksum in the manifest.

        A last row that is still being written is left out. The checksum covers the part up to
        the last checkpoint; of a finished run, the whole file.

        Raises:
            StorageError: The file is missing or damaged.
        """
        manifest = self.read_manifest() or {}
        with storage("metrics", self.metrics_file, "cannot be read"):
            content = self.metrics_file.read_bytes()
        if seal := manifest.get("metrics"):
            length, digest = (
                (seal.get("bytes"), seal.get("sha256")) if isinstance(seal, dict) else (None, None)
            )
            if type(length) is not int or not isinstance(digest, str):
                raise StorageError("manifest", self.manifest_file, "has a damaged checksum")
            longer = manifest["state"] in COMPLETE and len(content) != length
            if longer or hashlib.sha256(content[:length]).hexdigest() != digest:
                raise StorageError("metrics", self.metrics_file, "is damaged: its checksum differs")
        try:
            return content[: content.rfind(b"\n") + 1].decode("ascii")
        except UnicodeDecodeError as error:
            raise StorageError("metrics", self.metrics_file, "is damaged") from error

    def last_iteration(self) -> int:
        """The iteration of the last whole row of metrics.csv; 0 where there is none."""
        try:
            text = self.metrics_file.read_text(encoding="ascii", errors="replace")
        except OSError:
            return 0
        # Whole lines only: a row may be in the middle of being written.
        *_, row = text[: text.rfind("\n") + 1].splitlines() or [""]
        first = row.partition(",")[0]
        return int(first) if first.isdecimal() else 0

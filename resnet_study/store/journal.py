"""What a run leaves in its folder as it goes; of several processes the first one's alone."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple
from datetime import UTC, datetime
from typing import Any

import torch
from torch import nn

from resnet_study.config import RunConfig
from resnet_study.probes import Measurement, measures
from resnet_study.progress import Reporter
from resnet_study.store.events import EventLog
from resnet_study.store.folder import RunFolder
from resnet_study.store.logs import MetricsLog, ProbeLog
from resnet_study.system import machine
from resnet_study.system.errors import ConfigError, StorageError
from resnet_study.system.files import write_text
from resnet_study.training.checkpoint import Checkpoint, Checkpoints
from resnet_study.training.loop import Row
from resnet_study.training.state import TrainingState


class Outputs:
    """Those of a process that leaves nothing; arguments and errors as in `FolderOutputs`."""

    def iteration(self, completed: int) -> None:
        """An iteration has been completed."""

    def row(self, row: Row) -> None:
        """A row of metrics is there."""

    def save(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, state: TrainingState
    ) -> None:
        """The state is to be saved."""

    def probe(self, iteration: int, look: Callable[[], Iterable[Measurement]]) -> None:
        """The network is to be looked into; `look` does it."""

    def finish(self) -> None:
        """The run has come to its end."""

    def close(self) -> None:
        """Nothing more will come."""


class FolderOutputs(Outputs):
    """Manifest, metrics, events, probes and checkpoints of a run, in its folder.

    Args:
        folder: The run's folder, held by this process.
        config: The run.
        manifest: Changed in place, and written with each save.
        checkpoints: Where its states are saved.
        saved: The state that it goes on from.
        iteration: Iterations completed in that state, with what is to be done after each.
        device: What it trains on.
        reporter: Told of iterations and rows.
    """

    def __init__(
        self,
        folder: RunFolder,
        config: RunConfig,
        manifest: dict[str, Any],
        checkpoints: Checkpoints,
        saved: Checkpoint | None,
        iteration: int,
        device: torch.device,
        reporter: Reporter,
    ) -> None:
        self.folder = folder
        self.manifest = manifest
        self.checkpoints = checkpoints
        self.device = device
        self.reporter = reporter
        self.metrics = MetricsLog(folder.metrics_file, saved.metrics if saved else "")
        self.probes = ProbeLog(folder.probes_file, iteration)
        if saved:
            # Of a run that has nothing left to train, too.
            self.manifest["seconds"] = saved.state["seconds"]
            self.manifest["waiting_seconds"] = saved.state.get("waited", 0.0)
            check_probes(config, folder, self.probes, iteration)
        self.events = EventLog(config.logger, folder.path, self.metrics.text)
        folder.write_manifest(manifest)
        reporter.start(config, iteration)

    def iteration(self, completed: int) -> None:
        self.reporter.iteration(completed)

    def row(self, row: Row) -> None:
        self.metrics.append(row)
        self.events.append(row)
        self.reporter.row(row)

    def save(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, state: TrainingState
    ) -> None:
        self.checkpoints.save(network, optimizer, state, self.metrics.text)
        self.manifest["metrics"] = self.metrics.seal()
        self.manifest["seconds"] = state.seconds
        self.manifest["waiting_seconds"] = state.waited
        self._note_memory()
        self.folder.write_manifest(self.manifest)

    def probe(self, iteration: int, look: Callable[[], Iterable[Measurement]]) -> None:
        self._note_memory()
        began = time.perf_counter()
        self.probes.write(iteration, [astuple(measurement) for measurement in look()])
        spent = self.manifest.get("probe_seconds", 0.0)
        self.manifest["probe_seconds"] = spent + time.perf_counter() - began
        # What the probe took is not what the run takes.
        machine.reset_peak_memory(self.device)

    def finish(self) -> None:
        self.manifest["metrics"] = self.metrics.seal()
        self._note_memory()

    def close(self) -> None:
        self.events.close()

    def _note_memory(self) -> None:
        peak = max(self.manifest.get("peak_memory_bytes", 0), machine.peak_memory(self.device))
        self.manifest["peak_memory_bytes"] = peak


# What a manifest says of the part of a run before this start.
_KEPT = ("start", "probe_seconds", "unreadable_images")


@contextmanager
def recorded(folder: RunFolder, config: RunConfig) -> Iterator[dict[str, Any]]:
    """Keeps the folder's manifest true from the start of a run to its end, good or bad."""
    folder.remove_temporaries()
    former = folder.read_manifest() or {}
    manifest: dict[str, Any] = {
        "run_id": config.run_id,
        "state": "running",
        "started": former.get("started") or now(),
        "ended": None,
        "resumed": former.get("resumed") or [],
        "former_machines": _machines(former),
        **{key: former[key] for key in _KEPT if key in former},
    }
    folder.failure_file.unlink(missing_ok=True)
    folder.write_config(config)
    folder.write_manifest(manifest)
    try:
        yield manifest
    except Exception:
        # On a full disk even this may fail; what went wrong first is what counts.
        with suppress(StorageError):
            folder.write_manifest(manifest | {"state": "failed", "ended": now()})
            write_text(folder.failure_file, traceback.format_exc())
        raise
    manifest["ended"] = now()
    folder.write_manifest(manifest)


def _machines(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Where a run was trained before this start: hosts, device and processes, each once."""
    machines: list[dict[str, Any]] = list(manifest.get("former_machines") or [])
    names = ("hosts", "device_name", "processes")
    last = {name: manifest[name] for name in (*names, "processor") if name in manifest}
    return machines if last in machines or not last.keys() >= set(names) else [*machines, last]


def now() -> str:
    """The time, as manifests have it: UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def check_probes(config: RunConfig, folder: RunFolder, log: ProbeLog, iteration: int) -> None:
    """Finds out whether a run that has come so far has what the probes are to find.

    Raises:
        ConfigError: It has not, and cannot have it any more.
    """
    wanted = {
        (at, m) for at in config.probes.at if at <= iteration for m in measures(config.probes)
    }
    if lacking := sorted(wanted - log.recorded):
        at, measure = lacking[0]
        allowed = (
            f"{folder.path} was trained without {measure} at iteration {at}; allowed is another "
            "experiment_name, or to delete it and train anew"
        )
        raise ConfigError("probes.at", list(config.probes.at), allowed)

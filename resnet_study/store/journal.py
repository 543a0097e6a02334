"""All that a run writes: manifest, metrics, probes, checkpoints, and what loggers show."""

import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import astuple, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import torch

from resnet_study.config import RunConfig
from resnet_study.models.counting import count_multiply_adds, count_parameters
from resnet_study.probes import measures
from resnet_study.store.folder import COMPLETE, RunFolder
from resnet_study.store.loggers import Logger, open_loggers
from resnet_study.store.tables import MetricsTable, ProbesTable
from resnet_study.system import machine
from resnet_study.system.errors import ConfigError, StorageError
from resnet_study.system.files import write_text
from resnet_study.training.checkpoint import Checkpoint, Checkpoints
from resnet_study.training.events import Row
from resnet_study.training.session import Session
from resnet_study.training.trainer import Trainer

# Entries that a manifest keeps from the part of a run before this start.
_KEPT = ("start", "probe_seconds", "unreadable_images", "wandb_id")


@dataclass
class Journal:
    """Writes a run's folder during the run; only rank 0 writes.

    All processes call its methods together, as some of what is written is gathered from all.

    Attributes:
        folder: The run's folder, whose lock rank 0 holds.
        session: The run's session; it must be prepared before the first call.
        manifest: The manifest so far.
        saved: Iterations completed at the last checkpoint, and images since the last row, so
            that a run that stops does not save the same state again.
    """

    folder: RunFolder
    session: Session
    manifest: dict[str, Any]
    metrics: MetricsTable = field(init=False)
    probes: ProbesTable = field(init=False)
    loggers: list[Logger] = field(init=False, default_factory=list)
    saved: tuple[int, int] | None = None

    @property
    def silent(self) -> bool:
        """Whether this process writes nothing."""
        return not self.session.world.first

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """The run's last two checkpoints."""
        folder, session = self.folder, self.session
        return Checkpoints(
            folder.checkpoint_file,
            folder.previous_checkpoint_file,
            session.config,
            session.fingerprint,
            session.rounding(),
        )

    def last_checkpoint(self) -> Checkpoint | None:
        """The checkpoint to resume from, in all processes; None where there is none.

        Raises:
            CheckpointError: It is damaged, or of another run.
        """
        world = self.session.world
        # Tensors are sent between processes through the CPU.
        device = self.session.device if world.size == 1 else torch.device("cpu")
        return world.from_rank0(lambda: self.checkpoints.load(device))

    def begin(
        self, trainer: Trainer, saved: Checkpoint | None, start: dict[str, Any] | None
    ) -> None:
        """Opens the tables and writes what is known of the run before it trains.

        Args:
            trainer: About to train.
            saved: The checkpoint that it resumed from.
            start: The run whose weights it started from, for the manifest.

        Raises:
            ConfigError: The part of the run that is done lacks probes that are asked for now.
        """
        skipped = self.session.dataset.skipped
        skipped.extend(self.manifest.get("unreadable_images") or [])
        trainer.merge_skipped()
        self.manifest |= self.session.describe()
        self.manifest |= {
            # The list itself, which grows while the run goes on.
            "unreadable_images": skipped,
            "parameters": count_parameters(trainer.network),
            "multiply_adds": count_multiply_adds(trainer.network, *self.session.data.side),
        }
        if start:
            self.manifest["start"] = start
        if saved:
            resumed = {"iteration": trainer.state.iteration, "at": _now()}
            self.manifest["resumed"] = [*self.manifest.get("resumed", []), resumed]
        if self.silent:
            return
        self.metrics = MetricsTable(self.folder.metrics_file, saved.metrics if saved else "")
        self.probes = ProbesTable(self.folder.probes_file, trainer.reported)
        if saved:
            # Also for a run that has nothing left to train.
            self.manifest["seconds"] = trainer.state.seconds
            self.manifest["waiting_seconds"] = trainer.state.waited
            check_probes(self.session.config, self.folder, self.probes, trainer.reported)
        for logger in open_loggers(self.session.config, self.folder.path, self.manifest):
            self.loggers.append(logger)
            for row in self.metrics.rows():
                logger.append(row)
        self.folder.write_manifest(self.manifest)

    def row(self, row: Row) -> None:
        """Appends a row to metrics.csv and shows it in the chosen loggers.

        Raises:
            StorageError: metrics.csv cannot be written, or was removed or changed.
            ConfigError: A logger stopped.
        """
        if not self.silent:
            self.metrics.append(row)
            for logger in self.loggers:
                logger.append(row)

    def save(self, trainer: Trainer) -> None:
        """Writes a checkpoint and the manifest.

        Raises:
            StorageError: They cannot be written; the older checkpoints are intact.
        """
        if self.saved == (moment := (trainer.state.iteration, trainer.state.images)):
            return
        self.saved = moment
        state = trainer.gathered_state()
        if self.silent:
            return
        self.checkpoints.save(trainer.network, trainer.optimizer, state, self.metrics.text)
        self.manifest["seconds"], self.manifest["waiting_seconds"] = state.seconds, state.waited
        self._seal()
        self.folder.write_manifest(self.manifest)

    def probe(self, trainer: Trainer) -> None:
        """Probes the network and writes probes.csv."""
        trainer.average_statistics()
        if self.silent:
            return
        self._note_memory()
        began = time.perf_counter()
        self.probes.write(trainer.state.iteration, [astuple(found) for found in trainer.probe()])
        spent = self.manifest.get("probe_seconds", 0.0)
        self.manifest["probe_seconds"] = spent + time.perf_counter() - began
        # A run's peak memory leaves out its probes.
        machine.reset_peak_memory(self.session.device)

    def finish(
        self, diverged: bool = False, evaluation: dict[str, dict[str, Any]] | None = None
    ) -> None:
        """Notes how the run ended, and the trained network's scores by view."""
        self.manifest["state"] = "diverged" if diverged else "finished"
        if evaluation:
            self.manifest["evaluation"] = evaluation
        if not self.silent:
            self._seal()

    def _seal(self) -> None:
        self.manifest["metrics"] = self.metrics.seal()
        self._note_memory()

    def _note_memory(self) -> None:
        peak = machine.peak_memory(self.session.device)
        self.manifest["peak_memory_bytes"] = max(self.manifest.get("peak_memory_bytes", 0), peak)

    def close(self) -> None:
        """Closes all loggers, even if one of them raises an error."""
        with ExitStack() as ends:
            for logger in self.loggers:
                ends.callback(logger.close, self.manifest["state"] in COMPLETE)


@contextmanager
def open_journal(folder: RunFolder, session: Session) -> Iterator[Journal]:
    """A run's journal, whose manifest always tells the state of the run, and how it ended."""
    config = session.config
    if not session.world.first:
        yield Journal(folder, session, {})
        return
    folder.remove_temporaries()
    former = folder.read_manifest() or {}
    manifest: dict[str, Any] = {
        "run_id": config.run_id,
        "state": "running",
        "started": former.get("started") or _now(),
        "ended": None,
        "resumed": former.get("resumed") or [],
        "former_machines": _machines(former),
        **{key: former[key] for key in _KEPT if key in former},
    }
    folder.failure_file.unlink(missing_ok=True)
    folder.write_config(config)
    folder.write_manifest(manifest)
    try:
        with closing(Journal(folder, session, manifest)) as journal:
            yield journal
    except Exception:
        # On a full disk even this may fail; the first error is the one to report.
        with suppress(StorageError):
            folder.write_manifest(manifest | {"state": "failed", "ended": _now()})
            write_text(folder.failure_file, traceback.format_exc())
        raise
    manifest["ended"] = _now()
    folder.write_manifest(manifest)
    # The last checkpoint holds the trained weights.
    folder.previous_checkpoint_file.unlink(missing_ok=True)


def check_probes(config: RunConfig, folder: RunFolder, table: ProbesTable, iteration: int) -> None:
    """Checks that a run was probed as its config says, up to an iteration.

    Raises:
        ConfigError: It was not, and it is too late.
    """
    wanted = {
        (at, m) for at in config.probes.at if at <= iteration for m in measures(config.probes)
    }
    if lacking := sorted(wanted - table.recorded):
        at, measure = lacking[0]
        allowed = (
            f"{folder.path} was trained without {measure} at iteration {at}; use another "
            "experiment_name, or delete the folder and train again"
        )
        raise ConfigError("probes.at", list(config.probes.at), allowed)


def _machines(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Hosts, device and processes that trained a run before this start, each once."""
    machines: list[dict[str, Any]] = list(manifest.get("former_machines") or [])
    names = ("hosts", "device_name", "processes")
    last = {name: manifest[name] for name in (*names, "processor") if name in manifest}
    return machines if last in machines or not last.keys() >= set(names) else [*machines, last]


def _now() -> str:
    """The time as manifests have it: UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")

"""What a user sees while a run or a sweep goes on."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from resnet_study.config import RunConfig
from resnet_study.store.folder import COMPLETE, RunFolder
from resnet_study.system.errors import StorageError
from resnet_study.training.events import Row


class Reporter:
    """Told of a run's course; this one keeps quiet."""

    def start(self, config: RunConfig, completed: int) -> None:
        """A run begins, or goes on after `completed` iterations."""

    def waiting(self) -> None:
        """Another process trains this run; called each second until it has ended."""

    def iteration(self, completed: int) -> None:
        """An iteration has been completed."""

    def row(self, row: Row) -> None:
        """A row has been logged."""

    def close(self) -> None:
        """The run has ended, well or not."""


class RunReporter(Reporter):
    """One run's progress: a bar on a terminal, a line per evaluation elsewhere."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self.progress: Progress | None = None
        self.total = 0
        self.told = False

    def waiting(self) -> None:
        if not self.told:
            print("another process trains this run; waiting for it", file=sys.stderr, flush=True)
        self.told = True

    def start(self, config: RunConfig, completed: int) -> None:
        self.close()
        self.total = config.schedule.iterations
        if self.console.is_terminal:
            self.progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[errors]}"),
                console=self.console,
            )
            self.task = self.progress.add_task(
                config.run_id, total=self.total, completed=completed, rate="", errors=""
            )
            self.progress.start()
        else:
            print(f"{config.run_id}: {self.total} iterations", file=sys.stderr, flush=True)

    def iteration(self, completed: int) -> None:
        if self.progress is not None:
            self.progress.update(self.task, completed=completed)

    def row(self, row: Row) -> None:
        if row.iteration == 0:
            return
        errors = f"training error {row.train_error:.2f} %"
        if row.test_error is not None:
            errors += f", test error {row.test_error:.2f} %"
        rate = f"{row.images_per_second:.0f} images/s"
        if (waiting := row.waiting or 0.0) >= 0.5:
            rate += f", {waiting:.0f} % of the time waiting for data"
        if self.progress is not None:
            self.progress.update(self.task, rate=rate, errors=errors)
        elif row.test_error is not None:
            print(
                f"  iteration {row.iteration} of {self.total}: {errors}, {rate}",
                file=sys.stderr,
                flush=True,
            )

    def close(self) -> None:
        if self.progress is not None:
            self.progress.stop()


def duration(seconds: float) -> str:
    """Seconds as a reader says them: "42 s", "7 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


class SweepReporter:
    """One line for a whole sweep: finished, running, left, time left.

    It reads the run folders, so it needs nothing of the processes that train.

    Args:
        runs: The sweep's runs.
        costs: Their relative costs, in any unit.
        interval: Seconds between lines where there is no terminal.
    """

    def __init__(
        self, runs: Sequence[RunConfig], costs: Sequence[float], interval: float = 30.0
    ) -> None:
        self.runs = [(RunFolder.of(c), c.schedule.iterations) for c in runs]
        self.costs = list(costs)
        self.interval = interval
        self.console = Console(stderr=True)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> SweepReporter:
        self.began = time.monotonic()
        self.done_before = self._observe()[1]
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _observe(self) -> tuple[dict[str, int], float]:
        """Counts by state, and the cost of the work done so far."""
        counts = {"finished": 0, "diverged": 0, "failed": 0, "running": 0, "left": 0}
        done = 0.0
        for (folder, iterations), cost in zip(self.runs, self.costs, strict=True):
            try:
                manifest = folder.read_manifest()
            except StorageError:
                manifest = None
            state = manifest["state"] if manifest else "left"
            counts[state] += 1
            if state in (*COMPLETE, "failed"):
                done += cost
            elif state == "running" and (row := folder.last_row()):
                digits = row.get("iteration", "")
                done += cost * (int(digits) if digits.isdigit() else 0) / iterations
        return counts, done

    def line(self) -> str:
        """The line as it stands now."""
        counts, done = self._observe()
        words = [
            f"{count} {state}"
            for state, count in counts.items()
            if count or state in ("finished", "running", "left")
        ]
        elapsed = time.monotonic() - self.began
        progress = done - self.done_before
        if progress > 0:
            words.append(f"about {duration((sum(self.costs) - done) * elapsed / progress)} to go")
        return ", ".join(words)

    def _watch(self) -> None:
        if self.console.is_terminal:
            with self.console.status("") as status:
                while not self._stop.is_set():
                    status.update(self.line())
                    self._stop.wait(1)
        else:
            while not self._stop.wait(self.interval):
                print(self.line(), file=sys.stderr, flush=True)

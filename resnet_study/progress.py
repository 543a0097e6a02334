"""What a user sees while a run or a sweep is in progress."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from resnet_study.config import RunConfig
from resnet_study.store.folder import COMPLETE, RunFolder
from resnet_study.system.errors import say
from resnet_study.training.events import Row


class Reporter:
    """Is called as a run progresses; this one prints nothing."""

    def start(self, config: RunConfig, completed: int) -> None:
        """A run begins, or is resumed after `completed` iterations."""

    def waiting(self) -> None:
        """Another process is training this run; called every second until it has ended."""

    def iteration(self, completed: int) -> None:
        """An iteration has been completed."""

    def row(self, row: Row) -> None:
        """A row has been logged."""

    def close(self) -> None:
        """The run has ended, successfully or not."""


class RunReporter(Reporter):
    """Shows one run's progress: a bar on a terminal, a line per evaluation elsewhere."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self.progress: Progress | None = None
        self.total = 0
        self.said_waiting = False

    def waiting(self) -> None:
        if not self.said_waiting:
            say("another process is training this run; waiting for it")
        self.said_waiting = True

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
            say(f"{config.run_id}: {self.total} iterations")

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
            say(f"  iteration {row.iteration} of {self.total}: {errors}, {rate}")

    def close(self) -> None:
        # The terminal may have been closed.
        with suppress(OSError):
            if self.progress is not None:
                self.progress.stop()


def duration(seconds: float) -> str:
    """Returns a duration in readable units: "42 s", "7 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


class SweepReporter:
    """Shows a whole sweep in one line: finished, running, left, time left.

    It reads the run folders, so the processes that train need not report to it.

    Args:
        runs: The sweep's runs.
        costs: Their relative costs, in any unit.
        interval: Seconds between lines without a terminal.
    """

    def __init__(
        self, runs: Sequence[RunConfig], costs: Sequence[float], interval: float = 30.0
    ) -> None:
        self.runs = runs
        self.costs = costs
        self.console = Console(stderr=True)
        self.interval = 1.0 if self.console.is_terminal else interval
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

    def line(self) -> str:
        """Returns the line as of now."""
        counts, done = self._observe()
        states = (*COMPLETE, "failed", "running", "left")
        rare = ("diverged", "failed")
        words = [f"{counts[s]} {s}" for s in states if counts[s] or s not in rare]
        elapsed = time.monotonic() - self.began
        if (gained := done - self.done_before) > 0:
            words.append(f"about {duration((sum(self.costs) - done) * elapsed / gained)} to go")
        return ", ".join(words)

    def _observe(self) -> tuple[Counter[str], float]:
        """Counts runs by state, and sums up the cost of the work that is done."""
        counts: Counter[str] = Counter()
        done = 0.0
        for config, cost in zip(self.runs, self.costs, strict=True):
            state, share = _progress(config)
            counts[state] += 1
            done += cost * share
        return counts, done

    def _watch(self) -> None:
        # Without a terminal, the status shows nothing.
        with self.console.status("") as status:
            while not self._stop.wait(self.interval):
                if self.console.is_terminal:
                    status.update(self.line())
                else:
                    say(self.line())


def _progress(config: RunConfig) -> tuple[str, float]:
    """Returns the state of a run, and the share of its work that is done."""
    folder = RunFolder.of(config)
    state = folder.state()
    if state is None or state == "damaged":
        return "left", 0.0
    done = folder.last_iteration() if state == "running" else config.schedule.iterations
    return state, done / config.schedule.iterations

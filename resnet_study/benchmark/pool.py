"""Processes that measure at the same time, and the window of time in which all of them train."""

import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import active_children, get_context
from typing import Any, ClassVar

from resnet_study.system.interruption import StopRequest, leave_with_parent

MIN_MARKS = 3


@dataclass
class Window:
    """The time in which training is measured, the same for all processes that train at once.

    Times are those of the system's monotonic clock, which processes share. Every process trains
    until all have seen enough: otherwise the slowest would be measured on an emptier machine.

    Attributes:
        start: What comes before is not measured: processes load, allocate and capture graphs.
        seconds: After them a process has seen enough, provided that it has `MIN_MARKS` marks.
        processes: The number of processes that train at the same time.
        marks: Iterations with their times, taken when the device had no work left to do.
        enough: Whether this process has seen enough.
        finished: Counts the processes that have, in memory that they share; None in a process
            that measures alone.
    """

    finished: ClassVar[Any] = None
    start: float
    seconds: float
    processes: int = 1
    marks: list[tuple[int, float]] = field(default_factory=list)
    enough: bool = False

    def mark(self, iteration: int) -> None:
        """Notes that an iteration has been completed."""
        now = time.monotonic()
        if now >= self.start:
            self.marks.append((iteration, now))

    @property
    def over(self) -> bool:
        """Whether all processes have seen enough."""
        ended = time.monotonic() >= self.start + self.seconds
        if not self.enough and ended and len(self.marks) >= MIN_MARKS:
            self.enough = True
            if self.finished is not None:
                with self.finished.get_lock():
                    self.finished.value += 1
        return self.enough and (self.finished is None or self.finished.value >= self.processes)

    def seconds_per_iteration(self) -> float:
        """Returns the mean time of an iteration between the first mark and the last."""
        (first, began), (last, ended) = self.marks[0], self.marks[-1]
        return (ended - began) / (last - first)


class WorkerPool(ProcessPoolExecutor):
    """Processes that are kept from one measurement to the next.

    Args:
        size: The number of processes.
    """

    def __init__(self, size: int) -> None:
        context = get_context("spawn")
        self.finished = context.Value("i", 0)
        super().__init__(size, context, initializer=_start_worker, initargs=(self.finished,))

    def run(self, task: Callable[..., Any], *arguments: tuple[Any, ...]) -> list[Any]:
        """Calls a task in several processes at the same time, one for each tuple of arguments.

        An error of a call, or Ctrl-C, kills all processes: they would wait for each other.

        Returns:
            What the calls return, in any order.
        """
        self.finished.value = 0
        try:
            futures = [self.submit(task, *each) for each in arguments]
            return [future.result() for future in as_completed(futures)]
        except BaseException:
            for process in active_children():
                process.kill()
                process.join()
            raise


def _start_worker(finished: Any) -> None:
    """Prepares a process of a pool, which ends with its parent, and leaves Ctrl-C to it."""
    Window.finished = finished
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    leave_with_parent(StopRequest(), busy=threading.Lock())

"""How long workers take for a queue of runs, by going through it."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """A run in the queue.

    Attributes:
        name: Its id.
        seconds: What it takes, once it begins.
        after: Another task, whose end it waits for while it holds its worker.
    """

    name: str
    seconds: float
    after: str | None = None


def wall_time(tasks: Sequence[Task], workers: int) -> float:
    """Seconds until the last of the tasks has ended.

    Args:
        tasks: In the order in which they are handed out, each to the first worker that is
            free. A task that waits for another stands behind it.
        workers: How many there are, at least one.
    """
    free = [0.0] * min(workers, len(tasks))
    ends: dict[str, float] = {}
    for task in tasks:
        begin = max(heapq.heappop(free), ends.get(task.after or "", 0.0))
        ends[task.name] = begin + task.seconds
        heapq.heappush(free, ends[task.name])
    return max(ends.values(), default=0.0)

"""Limits of time that hold on a slow machine too, or beside other tests; for slow tests alone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

# Processor seconds of `slowness` on an idle core of an Intel Xeon at 2.5 GHz, which meets all
# limits.
UNIT = 0.17
T = TypeVar("T")


def slowness() -> float:
    """How many times slower than that a core is just now; 1 where it is no slower."""
    began = time.process_time()
    found: dict[str, float] = {}
    for number in range(300_000):
        name = f"run-{number % 997:03d}"
        found[name] = found.get(name, 0.0) + number / 7
    sorted(found.items(), key=lambda item: item[1])
    return max(1.0, (time.process_time() - began) / UNIT)


@contextmanager
def within(seconds: float, before: float | None = None) -> Iterator[None]:
    """Asserts that nobody waits longer for what stands below, by this machine's pace.

    Args:
        seconds: The limit, where each process has a core.
        before: The slowness, where it was measured earlier.
    """
    before = before or slowness()
    began = time.perf_counter()
    yield
    took = time.perf_counter() - began
    crowding = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    assert took < seconds * max(before, slowness()) * crowding


def in_time(seconds: float, call: Callable[[], T], tries: int = 3) -> T:
    """What a call returns that takes so many processor seconds at most, in one of a few tries."""
    for _ in range(tries):
        before, began = slowness(), sum(os.times()[:4])
        found = call()
        took = sum(os.times()[:4]) - began
        if took < seconds * max(before, slowness()):
            return found
    raise AssertionError(f"took {took:.1f} processor seconds; allowed are {seconds}")

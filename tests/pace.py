"""Limits of time that hold on a slow machine too, or beside other tests."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import TypeVar

# Processor seconds of `_work` on an idle core of an Intel Xeon at 2.5 GHz, which meets all limits.
UNIT = 0.17
T = TypeVar("T")


class TooSlowError(AssertionError):
    """A limit of time was not kept."""


def _work() -> float:
    """Processor seconds of what Python does most: names, numbers, texts, lists of them."""
    began = time.process_time()
    found: dict[str, float] = {}
    for number in range(300_000):
        name = f"run-{number % 997:03d}"
        found[name] = found.get(name, 0.0) + number / 7
    assert len(sorted(found.items(), key=lambda item: item[1])) == 997
    return time.process_time() - began


def slowness() -> float:
    """How many times slower than that a core is just now; 1 where it is no slower."""
    return max(1.0, median(_work() for _ in range(3)) / UNIT)


def _crowding() -> float:
    """How many processes have wanted each core in the last minute; 1 where each had one."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def _spent() -> float:
    """Processor seconds of this process and of those that it has waited for."""
    return sum(os.times()[:4])


@contextmanager
def within(seconds: float, before: float | None = None) -> Iterator[None]:
    """Asserts that nobody waits longer for what stands below, by this machine's pace.

    Args:
        seconds: The limit.
        before: The slowness, where it was measured earlier.
    """
    before = before or slowness()
    began = time.perf_counter()
    yield
    took = time.perf_counter() - began
    _check(took, seconds * max(before, slowness()) * _crowding())


def in_time(seconds: float, call: Callable[[], T], tries: int = 3) -> T:
    """What a call returns that takes so many processor seconds at most, in one of a few tries.

    Others on the machine make its pace slower, and the limit longer, but their time is not its.
    """
    while True:
        tries -= 1
        before, began = slowness(), _spent()
        found = call()
        took = _spent() - began
        try:
            _check(took, seconds * max(before, slowness()))
        except TooSlowError:
            if tries:
                continue
            raise
        return found


def _check(took: float, limit: float) -> None:
    if took >= limit:
        raise TooSlowError(f"took {took:.1f} s; allowed here and now are {limit:.1f}")

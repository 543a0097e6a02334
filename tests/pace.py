"""Limits of time that hold on a slow machine too, or beside other tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import TypeVar

# Seconds of `_work` on an idle core of an Intel Xeon at 2.5 GHz, on which all limits are met.
UNIT = 0.17
T = TypeVar("T")


class TooSlowError(AssertionError):
    """A limit of time was not kept."""


def _work() -> float:
    """Seconds of what Python does most: names, numbers, texts, and lists of them."""
    began = time.perf_counter()
    found: dict[str, float] = {}
    for number in range(300_000):
        name = f"run-{number % 997:03d}"
        found[name] = found.get(name, 0.0) + number / 7
    assert len(sorted(found.items(), key=lambda item: item[1])) == 997
    return time.perf_counter() - began


def slowness() -> float:
    """How many times slower than that this machine is just now; 1 where it is no slower."""
    return max(1.0, median(_work() for _ in range(3)) / UNIT)


@contextmanager
def within(seconds: float, before: float | None = None) -> Iterator[None]:
    """Asserts that what stands below takes no longer, by this machine's pace.

    Args:
        seconds: The limit.
        before: The slowness, where it was measured earlier.
    """
    before = before or slowness()
    began = time.perf_counter()
    yield
    took = time.perf_counter() - began
    limit = seconds * max(before, slowness())
    if took >= limit:
        raise TooSlowError(f"took {took:.1f} s; allowed here and now are {limit:.1f}")


def in_time(seconds: float, call: Callable[[], T], tries: int = 3) -> T:
    """What a call returns that takes no longer, by this machine's pace, in one of a few tries."""
    while True:
        tries -= 1
        try:
            with within(seconds):
                found = call()
        except TooSlowError:
            if tries:
                continue
            raise
        return found

"""Processes that measure at the same time, kept from one measurement to the next."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from types import TracebackType
from typing import Any


class Crew:
    """So many processes, each of which takes one task at a time.

    Args:
        size: How many there can be; they start when first needed.
    """

    def __init__(self, size: int) -> None:
        context = get_context("spawn")
        self.members = [
            ProcessPoolExecutor(1, context, initializer=_leave_signals_to_the_parent)
            for _ in range(size)
        ]

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        for member in self.members:
            if kind is not None:
                for process in list((member._processes or {}).values()):
                    process.terminate()
            member.shutdown(wait=kind is None, cancel_futures=True)

    def do(self, task: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Lets as many processes as there are tuples of arguments work at the same time."""
        futures = [
            member.submit(task, *each)
            for member, each in zip(self.members, arguments, strict=False)
        ]
        return [future.result() for future in futures]


def alone(task: Callable[..., Any], *arguments: Any) -> Any:
    """Lets a fresh process do a task: one whose memory nothing else has touched."""
    with Crew(1) as crew:
        return crew.do(task, [arguments])[0]


def _leave_signals_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)

"""Processes that measure at the same time, kept from one measurement to the next."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from types import TracebackType
from typing import Any

from resnet_study.benchmark import measure


class Crew:
    """So many processes, each of which takes one task at a time.

    Args:
        size: How many there can be; they start when first needed.
    """

    def __init__(self, size: int) -> None:
        context = get_context("spawn")
        self.done = context.Value("i", 0)
        self.members = [
            ProcessPoolExecutor(1, context, initializer=_join, initargs=(self.done,))
            for _ in range(size)
        ]

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        for member in self.members:
            processes = list((member._processes or {}).values())
            if kind is not None:
                for process in processes:
                    process.kill()
            member.shutdown(wait=kind is None, cancel_futures=True)
            for process in processes:
                process.join()

    def do(self, task: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Lets as many processes as there are tuples of arguments work at the same time."""
        self.done.value = 0
        futures = [
            member.submit(task, *each)
            for member, each in zip(self.members, arguments, strict=False)
        ]
        return [future.result() for future in futures]


def _join(done: Any) -> None:
    """Makes a process one of a crew: Ctrl-C is its parent's to meet, whose end is its own."""
    measure.together.done = done
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

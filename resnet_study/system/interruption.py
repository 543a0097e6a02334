"""Requests to stop: Ctrl-C, a scheduler's signal, or the death of the process in charge."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import ClassVar

# Submitit and Slurm send SIGUSR2 before they take a machine away; a closed terminal sends SIGHUP.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """A run was stopped on request, after its state had been saved.

    Args:
        signal_number: The signal that asked for it.
        iteration: Iterations completed and saved; with 0, the run starts anew.
        total: Iterations of the whole run.
    """

    def __init__(self, signal_number: int, iteration: int, total: int) -> None:
        super().__init__(signal_number, iteration, total)
        self.signal_number = signal_number
        self.iteration = iteration
        self.total = total


class NotDone(Exception):  # noqa: N818 - not an error; the same command resumes the run
    """A job of a sweep that neither finished nor failed.

    Args:
        signal_number: The signal that stopped it; None if it was never started.
    """

    def __init__(self, signal_number: int | None) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


class StopRequest:
    """Remembers a request to stop, which the run checks where its state is consistent.

    As a context manager it handles the signals, and restores the former handlers at the end.
    Outside of the main thread, where Python allows no handlers, it never sees a request.

    Args:
        worker: Whether this is a worker process. Then further signals change nothing, and the
            death of the parent is a request too. Otherwise a second signal has its usual effect,
            so that an impatient user can end the process at once.
        forward: Called with the signal's number at the first request.

    Attributes:
        active: The request that handles this process's signals.
    """

    active: ClassVar[StopRequest | None] = None

    def __init__(self, worker: bool = False, forward: Callable[[int], None] | None = None) -> None:
        self.worker = worker
        self.forward = forward
        self.signal_number: int | None = None
        self._parent = os.getppid()
        self._former: dict[signal.Signals, object] = {}

    @property
    def requested(self) -> bool:
        """Whether a stop is requested."""
        if self.worker and self.signal_number is None and os.getppid() != self._parent:
            self.signal_number = signal.SIGTERM
        return self.signal_number is not None

    def interrupted(self, iteration: int, total: int) -> Interrupted:
        """The error to raise when a run stops after `iteration` of its `total` iterations."""
        return Interrupted(self.signal_number or signal.SIGTERM, iteration, total)

    def __enter__(self) -> StopRequest:
        StopRequest.active = self
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                # With nohup a run goes on without its terminal.
                if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                    self._former[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        StopRequest.active = None
        self._give_back()

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.signal_number is None:
            self.signal_number = number
            if self.forward is not None:
                self.forward(number)
        if not self.worker:
            self._give_back()

    def _give_back(self) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._former = {}


@contextmanager
def shielded_children() -> Iterator[None]:
    """Keeps requests to stop from processes that are started meanwhile.

    They inherit the mask of this thread. This process itself may hear a signal in another one.
    """
    former = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


def leave_with_parent(stop: StopRequest, busy: threading.Lock) -> None:
    """Makes this worker process end when its parent is gone.

    Otherwise a pool's worker whose parent was killed would wait for its next job forever. A
    thread checks every second. When the parent is gone, it requests a stop, waits until the job
    has saved its state, and ends the process.

    Args:
        stop: The worker's request.
        busy: A lock that is held while a job runs.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        stop.signal_number = signal.SIGTERM
        with busy:
            os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()

"""What is measured, each in a process of its own: our training, and the machine's ceiling."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import torch

from resnet_study.config import RunConfig
from resnet_study.data import load_images
from resnet_study.data.loader import to_device
from resnet_study.experiment import run
from resnet_study.models import build_network
from resnet_study.models.kernels import kernels_for
from resnet_study.progress import Reporter
from resnet_study.store.folder import RunFolder
from resnet_study.system import machine
from resnet_study.system.errors import StudyError
from resnet_study.system.interruption import Interrupted, StopRequest
from resnet_study.training.evaluation import evaluate

MARKS = 3


class Together:
    """Tells processes that measure at the same time when the last of them has seen enough.

    Until then all go on: else the slowest would be measured on an emptier machine.

    Args:
        done: A counter that the processes share, or None for a process on its own.
    """

    def __init__(self, done: Any = None) -> None:
        self.done = done

    def finish(self) -> None:
        """This process has seen enough."""
        if self.done is not None:
            with self.done.get_lock():
                self.done.value += 1

    def finished(self, processes: int) -> bool:
        """Whether so many have."""
        return self.done is None or self.done.value >= processes


# Of this process; a crew gives its members the counter that they share.
together = Together()


@dataclass
class Window:
    """A stretch of time in which training is watched, the same for all that train at once.

    Times are those of the system's monotonic clock, which processes share.

    Attributes:
        start: Nothing before it counts: processes load, allocate and capture.
        end: Training stops here, or as soon after as all have seen `MARKS` iterations.
        processes: How many train at the same time.
        marks: Iteration and time, at moments when the device had done all before.
        enough: Whether this process has seen enough.
    """

    start: float
    end: float
    processes: int = 1
    marks: list[tuple[int, float]] = field(default_factory=list)
    enough: bool = False

    @classmethod
    def of(cls, seconds: float, delay: float, processes: int = 1) -> Window:
        """A window of so many seconds that opens after a delay."""
        start = time.monotonic() + delay
        return cls(start, start + seconds, processes)

    def mark(self, iteration: int) -> None:
        """Notes that an iteration has been completed."""
        now = time.monotonic()
        if now >= self.start:
            self.marks.append((iteration, now))

    @property
    def over(self) -> bool:
        if not self.enough and time.monotonic() >= self.end and len(self.marks) >= MARKS:
            self.enough = True
            together.finish()
        return self.enough and together.finished(self.processes)

    def seconds_per_iteration(self) -> float:
        """Mean time from the first mark to the last."""
        (first, began), (last, ended) = self.marks[0], self.marks[-1]
        return (ended - began) / (last - first)


class _Until(StopRequest):
    """Requests a stop once a window is over."""

    def __init__(self, window: Window, device: torch.device) -> None:
        super().__init__()
        self.window = window
        self.device = device
        self.met = 0.0

    @property
    def requested(self) -> bool:
        if not self.met and self.window.over:
            # What a GPU has still to do is no part of the checkpoint that comes now.
            _wait_for(self.device)
            self.met = time.monotonic()
        return bool(self.met)


class _Marks(Reporter):
    """Marks iterations on a CPU, and rows on a GPU, which runs behind the loop between them."""

    def __init__(self, window: Window, on_gpu: bool) -> None:
        self.window = window
        self.on_gpu = on_gpu

    def iteration(self, completed: int) -> None:
        if not self.on_gpu:
            self.window.mark(completed)

    def row(self, row: dict[str, float | int | None]) -> None:
        if self.on_gpu:
            self.window.mark(int(row["iteration"] or 0))


def ours(config: RunConfig, window: Window, checkpoint_every: int) -> dict[str, float]:
    """Trains as `python -m resnet_study` does: data, rows of metrics.csv, a checkpoint.

    The checkpoint is written when the window is over; its time is spread over
    `checkpoint_every` iterations.

    Returns:
        Images per second, seconds of a checkpoint, and peak memory in bytes.

    Raises:
        StudyError: The run has not come to the end of the window.
    """
    device = machine.choose_device(config.device)
    stop = _Until(window, device)
    try:
        record = run(config, _Marks(window, device.type == "cuda"), stop=stop)
    except Interrupted:
        saving = time.monotonic() - stop.met
    else:
        raise StudyError("benchmark", record.folder, f"{record.state} before its time")
    manifest = RunFolder.of(config).read_manifest() or {}
    each = window.seconds_per_iteration() + saving / checkpoint_every
    return {
        "images_per_second": config.schedule.batch_size / each,
        "checkpoint_seconds": saving,
        "peak_memory_bytes": manifest.get("peak_memory_bytes", 0),
    }


def evaluation(config: RunConfig, seconds: float = 1.0) -> float:
    """Images per second of an evaluation of the run's network on its test images."""
    device = machine.choose_device(config.device)
    machine.set_up(config.threads)
    images = load_images(config.data)
    data = to_device(images, device, 2, 0, config.data.augment, None)
    fused = kernels_for(device, config.kernels) == "fused"
    network = build_network(config.model, data.classes, fused=fused)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    # The first pass is the warm-up.
    evaluate(network, data.test.chunks(data.chunk), config.precision)
    count, began = 0, time.monotonic()
    while not count or time.monotonic() - began < seconds:
        evaluate(network, data.test.chunks(data.chunk), config.precision)
        count += len(data.test)
    return count / (time.monotonic() - began)


def matrix_product(
    precision: str,
    device_name: str,
    threads: int,
    seconds: float = 0.5,
    sides: tuple[int, ...] = (1024, 2048, 4096, 8192),
) -> float:
    """Floating-point operations per second of a product of two square matrices.

    No call to a library computes faster. The best of several sizes, each the median of its
    repetitions. Precision "tf32" is a GPU's, for float32.
    """
    device = machine.choose_device(device_name)
    machine.set_up(threads)
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    rates = []
    # The smallest do not fill a GPU, and the largest takes a CPU too long.
    for side in sides[:-1] if device.type == "cpu" else sides[2:]:
        one, two = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        times: list[float] = []
        one @ two
        began = time.monotonic()
        while len(times) < 3 or time.monotonic() - began < seconds:
            _wait_for(device)
            start = time.perf_counter()
            one @ two
            _wait_for(device)
            times.append(time.perf_counter() - start)
        rates.append(2 * side**3 / statistics.median(times))
    return max(rates)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

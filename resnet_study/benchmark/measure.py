"""What a process of the benchmark measures: training, evaluation, and the machine's ceiling."""

from __future__ import annotations

import signal
import statistics
import time
from dataclasses import replace

import torch

from resnet_study.benchmark.networks import NEVER
from resnet_study.benchmark.pool import Window
from resnet_study.config import CheckpointConfig, RunConfig
from resnet_study.experiment import run
from resnet_study.progress import Reporter
from resnet_study.store.folder import RunFolder
from resnet_study.system import machine
from resnet_study.system.errors import StudyError
from resnet_study.system.interruption import Interrupted, StopRequest
from resnet_study.training.events import Row
from resnet_study.training.session import Session
from resnet_study.training.world import World

# Of square matrices. Smaller ones do not fill a GPU, and larger ones take a CPU too long.
SIDES = {"cpu": (1024, 2048, 4096), "cuda": (4096, 8192)}


class WindowReporter(Reporter):
    """Marks iterations in a window, and requests a stop when the window is over.

    On a GPU it marks logged rows alone: between them the GPU runs behind the loop.

    Args:
        window: When to measure.
        on_gpu: Whether the run trains on a GPU.

    Attributes:
        stop: The request.
        ended: When it was made.
    """

    def __init__(self, window: Window, on_gpu: bool) -> None:
        self.window = window
        self.on_gpu = on_gpu
        self.stop = StopRequest()
        self.ended = 0.0

    def row(self, row: Row) -> None:
        if self.on_gpu:
            self.window.mark(row.iteration)

    def iteration(self, completed: int) -> None:
        if not self.on_gpu:
            self.window.mark(completed)
        if self.window.over:
            if self.on_gpu:
                # The checkpoint that follows does not answer for earlier work.
                torch.cuda.synchronize()
            self.ended = time.monotonic()
            self.stop.signal_number = signal.SIGTERM


def training(config: RunConfig, window: Window) -> dict[str, float]:
    """Trains as `python -m resnet_study` does: with data, rows of metrics.csv and a checkpoint.

    The checkpoint is written when the window is over; its time is spread over the
    `checkpoint.every` iterations between two checkpoints.

    Returns:
        Images per second, seconds of a checkpoint, and peak memory in bytes.

    Raises:
        StudyError: The run ended before the window did.
    """
    reporter = WindowReporter(window, machine.choose_device(config.device).type == "cuda")
    without_checkpoints = replace(config, checkpoint=CheckpointConfig(every=NEVER))
    try:
        record = run(without_checkpoints, reporter, stop=reporter.stop)
    except Interrupted:
        saving = time.monotonic() - reporter.ended
    else:
        raise StudyError("benchmark", record.folder, f"{record.state} before the time was over")
    manifest = RunFolder.of(config).read_manifest() or {}
    seconds = window.seconds_per_iteration() + saving / config.checkpoint.every
    return {
        "images_per_second": config.schedule.batch_size / seconds,
        "checkpoint_seconds": saving,
        "peak_memory_bytes": manifest.get("peak_memory_bytes", 0),
    }


def evaluation(config: RunConfig, seconds: float = 1.0) -> float:
    """Returns images per second of evaluations of the run's network on its test images."""
    session = Session.open(config, World())
    session.prepare()
    network, data = session.build(), session.data
    # The first pass is the warm-up.
    session.evaluate(network, data.test.chunks(data.chunk))
    images, began = 0, time.monotonic()
    while not images or time.monotonic() - began < seconds:
        images += session.evaluate(network, data.test.chunks(data.chunk)).images
    return images / (time.monotonic() - began)


def matrix_product(precision: str, device_name: str, threads: int) -> float:
    """Measures the product of two square matrices; no call to a library computes faster.

    Args:
        precision: "fp32", "bf16", or, on a GPU, "tf32" for float32.
        device_name: "cpu" or "cuda".
        threads: CPU threads.

    Returns:
        Floating-point operations per second, by the median time of the fastest of `SIDES`.
    """
    device = machine.choose_device(device_name)
    machine.set_up(threads)
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    rates = []
    for side in SIDES[device.type]:
        one, two = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        _time_product(one, two)
        times: list[float] = []
        while len(times) < 3 or sum(times) < 0.5:
            times.append(_time_product(one, two))
        rates.append(2 * side**3 / statistics.median(times))
    return max(rates)


def _time_product(one: torch.Tensor, two: torch.Tensor) -> float:
    """Returns the seconds of a single matrix product."""
    began = time.perf_counter()
    one @ two
    if one.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - began

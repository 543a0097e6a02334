"""What a process measures: the study's training, conventional training, evaluation, the ceiling."""

import signal
import statistics
import time
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision import transforms

from resnet_study.benchmark.networks import NEVER
from resnet_study.benchmark.pool import Window
from resnet_study.config import CheckpointConfig, RunConfig
from resnet_study.data import open_dataset
from resnet_study.data.images import ImageSet
from resnet_study.experiment import run
from resnet_study.models import build_network
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

    On a GPU it marks only logged rows: between them the GPU runs behind the loop.

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
                # The checkpoint that follows must not be timed with earlier work.
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


class Images(Dataset[tuple[torch.Tensor, int]]):
    """Images as torchvision's CIFAR has them: an array, and a PIL image for each access.

    Args:
        images: uint8 `(N, 3, H, W)`.
        labels: int64 `(N,)`.
        padding: Zero pixels on each side before the random crop.
    """

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.int64], padding: int) -> None:
        self.images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
        self.labels = labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(images.shape[2:], padding),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0.49, 0.48, 0.45), (0.25, 0.24, 0.26)),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def conventional(config: RunConfig, window: Window, loader_processes: int) -> float:
    """Trains as most implementations of the network do, for comparison.

    Images are transformed one by one with torchvision in a DataLoader, the network is eager, in
    float32 and with channels outermost, and SGD is torch's by default. It is as fast as that
    allows: on a GPU the loss is not read in each iteration.

    Returns:
        Images per second.
    """
    device = machine.choose_device(config.device)
    on_gpu = device.type == "cuda"
    machine.set_up(config.threads)
    # torch's own defaults.
    torch.backends.cudnn.deterministic = False
    torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = on_gpu
    images = open_dataset(config.data)
    assert isinstance(images, ImageSet)
    batch_size = config.schedule.batch_size
    dataset = Images(images.train_images, images.train_labels, config.data.augment.padding)
    # An endless epoch, as the loader processes start again with each epoch.
    sampler = RandomSampler(dataset, num_samples=batch_size * NEVER)
    loader = DataLoader(
        dataset, batch_size, sampler=sampler, num_workers=loader_processes, pin_memory=on_gpu
    )
    network = build_network(config.model, len(images.classes), fused=False).to(device).train()
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)
    for iteration, (inputs, labels) in enumerate(loader, start=1):
        inputs = inputs.to(device, non_blocking=True)
        labels = labels.to(device, non_blocking=True)
        loss = F.cross_entropy(network(inputs), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if not on_gpu or iteration % 50 == 0:
            # Waits for a GPU, which runs behind the loop.
            loss.item()
            window.mark(iteration)
        if window.over:
            break
    return batch_size / window.seconds_per_iteration()


def evaluation(config: RunConfig, seconds: float = 1.0) -> float:
    """Returns images per second of evaluations of the run's network on its test images."""
    session = Session.open(config, World())
    session.prepare()
    network = session.build()
    test, chunk = session.data.test, session.data.chunk
    # The first pass is the warm-up.
    session.evaluate(network, test.chunks(chunk))
    images, began = 0, time.monotonic()
    while not images or time.monotonic() - began < seconds:
        images += session.evaluate(network, test.chunks(chunk)).images
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

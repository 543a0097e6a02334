"""Reads a folder with train/<class>/ and val/<class>/ as a run does, without training.

Prints the images that are read per second, measured in turns with torchvision's transforms in the
same DataLoader. Nothing else should run meanwhile.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import torch
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, RandomSampler
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.transforms.v2 import RandomShortestSize

from resnet_study.config import RunConfig
from resnet_study.data.batches import Batch
from resnet_study.data.normalization import TORCHVISION_DEVIATION, TORCHVISION_MEAN
from resnet_study.data.streamed import StreamedFolder
from resnet_study.system import machine
from resnet_study.system.errors import StudyError, say

# Starts to read batches.
Source = Callable[[], Generator[Batch]]
OURS = "the paper's, ours"
# The crops of torchvision's reference training, and the paper's (§3.4) by torchvision.
REFERENCES: dict[str, list[Any]] = {
    "torchvision's reference": [transforms.RandomResizedCrop(224)],
    "the paper's, by torchvision": [
        RandomShortestSize(range(256, 481)),
        transforms.RandomCrop(224),
    ],
}
STEPS = [
    transforms.RandomHorizontalFlip(),
    transforms.PILToTensor(),
    transforms.ConvertImageDtype(torch.float32),
    transforms.Normalize(TORCHVISION_MEAN, TORCHVISION_DEVIATION),
]


def sources(
    root: Path, batch_size: int, workers: int, device: torch.device, cache: str
) -> dict[str, Source]:
    """Returns what is measured: each starts batches on the device, normalised, in float32.

    All are endless and read the same files through torch's DataLoader with the same number of
    workers. Ours shifts colours, too.
    """
    data = {
        "name": "streamed_folder",
        "root": str(root),
        "cache": cache,
        "augment": {"padding": 0, "colour": 0.1},
        # Normalised as the others are, so that no means have to be measured first.
        "stream": {"normalization": "torchvision", "statistics_images": 200},
    }
    config = RunConfig.from_mapping({"data": data, "schedule": {"batch_size": batch_size}})
    folder = StreamedFolder(config.data)
    batches = folder.prepare(config, device, workers).batches
    found: dict[str, Source] = {
        OURS: lambda: (batches.assemble(*drawn) for drawn in batches.starting_at(0))
    }
    for name, crop in REFERENCES.items():
        # torchvision lists hidden folders as well, and an empty class would be an error.
        files = ImageFolder(root / "train", transforms.Compose([*crop, *STEPS]), allow_empty=True)
        files.samples = [(folder.train.path(i), int(y)) for i, y in enumerate(folder.train.labels)]
        sampler = RandomSampler(files, replacement=True, num_samples=10**7)
        loader = DataLoader(
            files,
            batch_size,
            sampler=sampler,
            num_workers=workers,
            pin_memory=device.type == "cuda",
        )
        found[name] = partial(_read, loader, device)
    return found


def _read(loader: DataLoader[Any], device: torch.device) -> Generator[Batch]:
    for images, labels in loader:
        yield images.to(device, non_blocking=True), labels.to(device)


def rate(batches: Generator[Batch], seconds: float, batch_size: int) -> float:
    """Returns images per second, measured once the processes that decode have started."""
    with closing(batches):
        next(batches), next(batches)
        began, images = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            next(batches)
            images += batch_size
        return images / (time.perf_counter() - began)


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser("python -m resnet_study.benchmark.loader", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=int(joblib.cpu_count()),
                        help="processes that decode (default: one per core)")  # fmt: skip
    parser.add_argument("--batch-size", type=int, default=64, help="(default: 64)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of measurements (default: 5)")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each trial (default: 6)")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    options = parser.parse_args(arguments)
    try:
        device = machine.choose_device(options.device)
        machine.set_up(None)
        with tempfile.TemporaryDirectory() as cache:
            measured = sources(options.folder, options.batch_size, options.workers, device, cache)
            found: dict[str, list[float]] = {name: [] for name in measured}
            for _ in range(options.rounds):
                for name, start in measured.items():
                    found[name].append(rate(start(), options.seconds, options.batch_size))
    except StudyError as error:
        say(f"error: {error}")
        return 2
    table = Table("transforms", title=f"{options.folder}, {options.workers} workers")
    for column in ("images/s", "lowest", "highest", "our speed-up"):
        table.add_column(column, justify="right")
    for name, rates in found.items():
        # Ratios within a round: what slows the machine down slows both alike.
        ratio = statistics.median(a / b for a, b in zip(found[OURS], rates, strict=True))
        numbers = (statistics.median(rates), min(rates), max(rates))
        table.add_row(name, *(f"{number:.0f}" for number in numbers), f"{ratio:.2f}")
    Console().print(table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

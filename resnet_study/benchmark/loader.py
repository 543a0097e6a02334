"""Command line: `python -m resnet_study.benchmark.loader`. The streamed folder's reader alone."""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import joblib
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, RandomSampler
from torchvision import transforms
from torchvision.datasets import ImageFolder

from resnet_study.config import AugmentConfig, DataConfig, RunConfig, ScheduleConfig, StreamConfig
from resnet_study.data.normalization import TORCHVISION_DEVIATION, TORCHVISION_MEAN
from resnet_study.data.streamed import StreamedFolder
from resnet_study.data.workers import PREFETCHED
from resnet_study.system import machine
from resnet_study.system.errors import StudyError

Batches = Iterable[Any]


class PapersResize:
    """Resizes an image so that its shorter side is drawn from 256 to 480 (§3.4)."""

    def __call__(self, image: Image.Image) -> Image.Image:
        resized: Image.Image = transforms.functional.resize(image, random.randint(256, 480))  # noqa: S311
        return resized


LAST = (
    transforms.RandomHorizontalFlip(),
    transforms.PILToTensor(),
    transforms.ConvertImageDtype(torch.float32),
    transforms.Normalize(TORCHVISION_MEAN, TORCHVISION_DEVIATION),
)
# torchvision's transforms: as in its reference training, and the paper's made of them.
REFERENCES = {
    "torchvision's reference": (transforms.RandomResizedCrop(224), *LAST),
    "the paper's, by torchvision": (PapersResize(), transforms.RandomCrop(224), *LAST),
}
OURS = "the paper's, ours"


def rivals(
    root: Path, batch_size: int, workers: int, device: torch.device, cache: str
) -> dict[str, Callable[[], Iterator[Any]]]:
    """What is measured: each gives batches on the device, normalised, in float32.

    All read the same files through torch's DataLoader with the same number of workers, and
    ours shifts colours, too.
    """
    # Ours normalises as the others do, so that nothing has to be measured before.
    stream = StreamConfig(normalization="torchvision", workers=workers, statistics_images=200)
    config = DataConfig(
        name="streamed_folder",
        root=str(root),
        cache=cache,
        stream=stream,
        augment=AugmentConfig(padding=0, colour=0.1),
    )
    run = RunConfig(data=config, schedule=ScheduleConfig(batch_size=batch_size))
    data = StreamedFolder(config).prepare(run, device, workers)

    def ours() -> Iterator[Any]:
        with closing(data.batches.starting_at(0)) as batches:
            yield from (data.batches.assemble(*tensors) for tensors in batches)

    def reference(steps: tuple[Any, ...]) -> Callable[[], Iterator[Any]]:
        files = ImageFolder(str(root / "train"), transforms.Compose(steps))

        def batches() -> Iterator[Any]:
            loader = DataLoader(
                files,
                batch_size,
                # Endless, as ours is: no rival's processes begin anew with each epoch.
                sampler=RandomSampler(files, replacement=True, num_samples=10**7),
                num_workers=workers,
                pin_memory=device.type == "cuda",
                prefetch_factor=PREFETCHED if workers else None,
            )
            for images, labels in loader:
                yield images.to(device, non_blocking=True), labels.to(device)

        return batches

    return {OURS: ours, **{name: reference(steps) for name, steps in REFERENCES.items()}}


def rate(batches: Iterator[Any], seconds: float, batch_size: int) -> float:
    """Images per second, once the processes that decode have begun."""
    with closing(batches):  # type: ignore[type-var]
        for _ in islice(batches, 2):
            pass
        began, images = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            next(batches)
            images += batch_size
        return images / (time.perf_counter() - began)


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(
        "python -m resnet_study.benchmark.loader",
        description="Reads a folder with train/<class>/ and val/<class>/ as a run does, and with "
        "torchvision's transforms in the same DataLoader, in turns, and prints how many images "
        "per second each made ready. Nothing is trained, and nothing else should run meanwhile.",
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=int(joblib.cpu_count()),
                        help="processes that decode (default: one per core)")  # fmt: skip
    parser.add_argument("--batch-size", type=int, default=64, help="(default: 64)")
    parser.add_argument("--rounds", type=int, default=5, help="turns (default: 5)")
    parser.add_argument("--seconds", type=float, default=6.0,
                        help="of each measurement (default: 6)")  # fmt: skip
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    given = parser.parse_args(arguments)
    try:
        device = machine.choose_device(given.device)
        machine.set_up(None)
        with tempfile.TemporaryDirectory() as cache:
            made = rivals(given.folder, given.batch_size, given.workers, device, cache)
            found: dict[str, list[float]] = {name: [] for name in made}
            for _ in range(given.rounds):
                for name, batches in made.items():
                    found[name].append(rate(batches(), given.seconds, given.batch_size))
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    table = Table("transforms", title=f"{given.folder}, {given.workers} workers")
    for column in ("images/s", "lowest", "highest", "ours beside it"):
        table.add_column(column, justify="right")
    for name, rates in found.items():
        # Of the same round: what slows a machine down slows neighbours alike.
        ratio = statistics.median(a / b for a, b in zip(found[OURS], rates, strict=True))
        numbers = (statistics.median(rates), min(rates), max(rates))
        table.add_row(name, *(f"{number:.0f}" for number in numbers), f"{ratio:.2f}")
    Console().print(table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

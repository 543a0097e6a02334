"""How cost grows: time with depth and batch, memory with depth, throughput with workers."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from typing import Any

from resnet_study.benchmark.crew import Crew, alone
from resnet_study.benchmark.measure import Window, ours
from resnet_study.benchmark.session import Recipe, Session
from resnet_study.benchmark.subjects import NEVER, Subject
from resnet_study.sweep import RUNS_PER_GPU

DEPTHS = (20, 32, 44, 56, 110)
BATCHES = (16, 32, 64, 128, 256)
REPEATS = 3


def measure(
    session: Session, crew: Crew, precision: str, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Measures each relation at the paper's scale, in turns.

    Args:
        session: Says how; its own measurements are left alone.
        crew: At least as many processes as the last of `worker_counts`.
        precision: "fp32" or "bf16".
        tell: Told what is being measured.

    Returns:
        For "depth", "batch" and "workers" the seconds of an iteration, or images per second,
        one record per point; for "memory" the peak of a process with and without activation
        checkpointing.
    """
    one = Recipe("one process", precision, 1, 1)
    found: dict[str, Any] = {"precision": precision, "depth": [], "batch": [], "workers": []}
    points: list[tuple[str, Subject, Recipe]] = [
        *(("depth", Subject(depth), one) for depth in DEPTHS),
        *(("batch", Subject(20, batch_size=size), one) for size in BATCHES),
        *(
            ("workers", Subject(20, "quick"), _sweep(precision, count))
            for count in worker_counts(session.cores, session.device == "cuda")
        ),
    ]
    rates: list[list[float]] = [[] for _ in points]
    for _ in range(REPEATS):
        for (relation, subject, recipe), seen in zip(points, rates, strict=True):
            tell(f"{relation}: {subject.name}, {recipe.workers} workers")
            seen.append(session.train(crew, subject, recipe))
    for (relation, subject, recipe), seen in zip(points, rates, strict=True):
        rate = statistics.median(seen)
        batch = subject.config("runs", precision, session.device, 1).schedule.batch_size
        found[relation].append(
            {
                "depth": subject.depth,
                "batch_size": batch,
                "workers": recipe.workers,
                "images_per_second": rate,
                "seconds_per_iteration": batch * recipe.workers / rate,
                "rounds": seen,
            }
        )
    found["memory"] = []
    for depth in DEPTHS:
        for recompute in (False, True):
            tell(f"memory: ResNet-{depth}{', activation checkpointing' if recompute else ''}")
            found["memory"].append(
                {
                    "depth": depth,
                    "batch_size": 128,
                    "activation_checkpointing": recompute,
                    "peak_memory_bytes": peak_memory(session, Subject(depth), precision, recompute),
                }
            )
    return found


def measurements(session: Session) -> int:
    """How many there will be, those of memory counted as one each."""
    counts = worker_counts(session.cores, session.device == "cuda")
    return REPEATS * (len(DEPTHS) + len(BATCHES) + len(counts)) + 2 * len(DEPTHS)


def worker_counts(cores: int, on_gpu: bool = False) -> list[int]:
    """1, 2, 4 … up to twice the cores, or twice the runs that share a GPU."""
    most = min(cores, RUNS_PER_GPU) if on_gpu else cores
    counts = [1]
    while counts[-1] < 2 * most:
        counts.append(2 * counts[-1])
    return counts


def _sweep(precision: str, workers: int) -> Recipe:
    return Recipe("sweep", precision, workers, 1)


def peak_memory(session: Session, subject: Subject, precision: str, recompute: bool) -> float:
    """Peak memory of a fresh process that trains some iterations, in bytes."""
    with tempfile.TemporaryDirectory(dir=session.scratch) as folder:
        config = subject.config(
            folder, precision, session.device, 1, activation_checkpointing=recompute
        )
        found: dict[str, float] = alone(ours, config, Window.of(0.0, 0.0), NEVER)
    return found["peak_memory_bytes"]

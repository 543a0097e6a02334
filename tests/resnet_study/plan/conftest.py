"""A benchmark's file with round numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from resnet_study.plan.place import Place


def record(network: str, depth: int, workers: int, threads: int, **changes: object) -> dict:
    """20 ms an image and layer in each process at the paper's scale, without checkpoints."""
    batch, saving, every = 128, 0.5, 1000
    seconds = batch * (0.1 + 0.02 * depth) + saving / every
    rate = workers * batch / seconds
    return {
        "network": network, "depth": depth, "width": 16, "side": 32, "batch_size": batch,
        "recipe": "sweep" if workers > 1 else "one process", "precision": "fp32",
        "workers": workers, "threads": threads, "images_per_second": rate,
        "rounds": [rate, 1.1 * rate], "checkpoint_seconds": saving,
        "evaluation_images_per_second": workers * 1000 / depth,
    } | changes  # fmt: skip


@pytest.fixture
def benchmark_file(tmp_path: Path):
    """Writes a benchmark's file; returns its path."""

    def write(*records: dict, name: str = "benchmark.json", **about: object) -> Path:
        machine = {"device": "cpu", "device_name": "An Abacus", "cores": 2, "kernels": "fused"}
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        measurements = list(records) or [
            record("ResNet-20", 20, 2, 1),
            record("ResNet-56", 56, 2, 1),
        ]
        path.write_text(json.dumps({"machine": machine | about, "measurements": measurements}))
        return path

    return write


@pytest.fixture
def place() -> Place:
    """Two workers of one thread on two cores."""
    return Place("local", 2, 1, cores=2)

"""A benchmark's file with round numbers."""

import json

import pytest

from resnet_study.plan.place import Place


def record(depth, workers=2, threads=1, **changes):
    """In each process 100 ms an image and 20 ms more a layer; evaluations 1 ms a layer."""
    about = {"depth": depth, "workers": workers, "threads": threads, "width": 16, "side": 32}
    training = workers / (0.1 + 0.02 * depth)
    rates = {"images_per_second": training, "evaluation_images_per_second": workers * 1000 / depth}
    return about | {"recipe": "sweep", "precision": "fp32"} | rates | changes


@pytest.fixture
def benchmark_file(tmp_path):
    """Writes a benchmark's file; returns its path."""

    def write(*records, name="benchmark.json"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        machine = {"device": "cpu", "device_name": "An Abacus", "cores": 2, "threads": 2}
        measured = [{"recipe": "conventional"}, *(records or (record(20), record(56)))]
        path.write_text(json.dumps({"machine": machine, "measurements": measured}))
        return path

    return write


@pytest.fixture
def place():
    """Two workers of one thread on two cores."""
    return Place("local", 2, 1, cores=2, device_name="An Abacus")

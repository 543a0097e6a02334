"""Seconds of a run: against numbers worked out by hand, and against runs on record."""

from dataclasses import replace
from pathlib import Path

import pytest

from resnet_study.config import DataConfig, ModelConfig, RunConfig, ScheduleConfig
from resnet_study.plan import estimate
from resnet_study.plan.place import Place
from resnet_study.store.folder import RunFolder
from resnet_study.system.errors import StorageError
from tests.conftest import CHECKOUT
from tests.resnet_study.plan.conftest import record

START = 2
# Of a run of 20 layers: 128,000 training images, and 4 evaluations of 3,000 images.
TRAINING, EVALUATING = 64_000, 240
WHOLE = TRAINING + EVALUATING


@pytest.fixture
def seconds(benchmark_file, place):
    """Estimates a run of the shapes; returns its seconds without the start, and their basis."""

    def call(*records, where=place, resolution=None, depth=20, width=16, own=None, **changes):
        short = {"iterations": 1000, "eval_every": 300, "eval_train_images": 1000}
        schedule = ScheduleConfig(**(short | (own or {})), milestones=())
        data = DataConfig(name="shapes", resolution=resolution)
        config = RunConfig(ModelConfig(depth=depth, width=width), data, schedule, **changes)
        measured = estimate.read_benchmark(benchmark_file(*records))
        found = estimate.from_benchmark(config, where, measured)
        return pytest.approx(found.seconds - START), found.basis

    return call


def test_training_and_evaluations_add_up(seconds):
    assert seconds() == (WHOLE, "measured")
    assert seconds(activation_checkpointing=True) == (4 / 3 * TRAINING + EVALUATING, "measured")
    # Statistics of 10,000 images more.
    recomputed = {"eval_statistics": "recomputed"}
    assert seconds(own=recomputed) == (TRAINING + EVALUATING * 13 / 3, "measured")
    # Where the benchmark was interrupted: one of three passes.
    interrupted = record(20, evaluation_images_per_second=None)
    assert seconds(interrupted) == (TRAINING + 4 * 3000 * 0.5 / 3, "measured")


@pytest.mark.parametrize("depth, each", [(38, 0.86), (56, 1.22), (8, 0.2), (224, 4.88)])
def test_time_is_a_line_between_depths_and_in_proportion_beyond(seconds, depth, each):
    assert seconds(depth=depth) == (128_000 * each + 12 * depth, "measured")


def test_the_nearest_measurement_counts_in_proportion(seconds):
    assert seconds(width=8) == (WHOLE / 2, "scaled")
    assert seconds(resolution=16) == (WHOLE / 4, "scaled")
    assert seconds(precision="bf16") == (WHOLE, "scaled")
    # More workers than cores take turns.
    assert seconds(where=Place("local", 4, 1, cores=2)) == (2 * WHOLE, "measured")


def test_of_several_measurements_the_most_alike_counts(seconds):
    alone = record(20, workers=1, threads=2, images_per_second=1000)
    bf16 = record(20, precision="bf16", images_per_second=4000)
    quick = record(20, width=8, side=16, images_per_second=8000)
    records = (record(20), alone, bf16, quick)
    assert seconds(*records, precision="bf16") == (64 + EVALUATING, "measured")
    assert seconds(*records, width=8, resolution=16) == (32 + EVALUATING, "measured")
    here, roomy = Place("local", 1, 2, cores=2), Place("local", 2, 1, cores=4)
    assert seconds(*records, where=here) == (128 + EVALUATING, "measured")
    assert seconds(*records, where=roomy, threads=2) == (128 + EVALUATING, "measured")
    # Of a GPU the number of runs counts that share it; on a cluster each has its own.
    here, there = Place("local", 2, 8, gpus=1, cores=16), Place("slurm", 2, 1, gpus=1)
    assert seconds(*records, where=here) == (WHOLE + 6, "scaled")
    assert seconds(*records, where=there) == (128 + EVALUATING + 6 + 5, "scaled")


@pytest.mark.parametrize("depth", [20, 56, 110])
def test_runs_on_record_took_what_the_benchmark_of_their_machine_says(depth, place):
    runs = [*map(RunFolder, CHECKOUT.glob(f"runs/recorded/quick/residual-A-{depth:03d}-*"))]
    measured = estimate.read_benchmark(estimate.RECORDED)
    found = estimate.from_benchmark(runs[0].read_config(), place, measured)
    # Other work only makes a run longer; of three seeds the shortest was disturbed least.
    shortest = min(run.read_manifest()["seconds"] for run in runs)
    assert found.seconds - START == pytest.approx(shortest, rel=0.1)


def test_the_file_that_is_named_comes_first_then_this_machines(benchmark_file, place, monkeypatch):
    monkeypatch.chdir(benchmark_file(name=str(estimate.OWN)).parents[2])
    assert estimate.choose_benchmark("given.json", place) == Path("given.json")
    assert estimate.choose_benchmark(None, place) == estimate.OWN
    for other in (replace(place, cores=4), replace(place, device_name="?"), Place("slurm", 2, 1)):
        assert estimate.choose_benchmark(None, other) == estimate.RECORDED


def test_what_is_no_benchmark_is_named(tmp_path, benchmark_file):
    texts = ["", "[]", "{}", '{"machine": {}, "measurements": []}', "null", "\x00"]
    wrong = [{"images_per_second": 0}, {"cores": "2"}, {"side": None}]
    for text in [*texts, *(benchmark_file(record(20, **each)).read_text() for each in wrong)]:
        (tmp_path / "benchmark.json").write_text(text)
        with pytest.raises(StorageError, match=r"benchmark=.* that make bench wrote"):
            estimate.read_benchmark(tmp_path / "benchmark.json")

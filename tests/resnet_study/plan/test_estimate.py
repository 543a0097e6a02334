"""Seconds of a run: against numbers worked out by hand, and against runs on record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from resnet_study.config import CheckpointConfig, DataConfig, ModelConfig, RunConfig, ScheduleConfig
from resnet_study.errors import StorageError
from resnet_study.plan.estimate import START, estimate, evaluations, nearest_scale, over_depth
from resnet_study.plan.images import Images, images_of
from resnet_study.plan.measured import OWN, RECORDED, choose, read
from resnet_study.plan.place import Place, place_of
from resnet_study.runs import RunFolder
from tests.resnet_study.plan.conftest import record

CHECKOUT = Path(__file__).resolve().parents[3]
IMAGES = Images(train=2000, test=500, side=32)


def run(**changes) -> RunConfig:
    schedule = ScheduleConfig(
        iterations=1000, milestones=(500,), eval_every=300, eval_train_images=1000
    )
    return RunConfig(**({"schedule": schedule, "model": ModelConfig(depth=20)} | changes))


def test_training_evaluations_and_checkpoints_add_up(benchmark_file, place):
    config = run(checkpoint=CheckpointConfig(every=400))
    found = estimate(config, IMAGES, place, read(benchmark_file()))
    training = 1000 * 128 * (0.1 + 0.02 * 20)
    # At 300, 600, 900 and 1000; each of 1,000 training and 500 test images.
    assert evaluations(config) == 4
    evaluating = 4 * 1500 * 20 / 1000
    saving = 3 * 0.5
    assert found.seconds == pytest.approx(START + training + evaluating + saving)
    assert found.basis == "measured"
    assert found.spread == pytest.approx(10)
    assert found.notes == ()


@pytest.mark.parametrize("depth, basis", [(32, "interpolated"), (110, "extrapolated")])
def test_other_depths_lie_on_the_line(benchmark_file, place, depth, basis):
    one, other = (
        estimate(run(model=ModelConfig(depth=d)), IMAGES, place, read(benchmark_file()))
        for d in (20, depth)
    )
    per_layer = 1000 * 128 * 0.02 + 4 * 1500 / 1000
    assert other.seconds - one.seconds == pytest.approx((depth - 20) * per_layer)
    assert other.basis == basis


@pytest.mark.parametrize(
    "points, depth, seconds",
    [
        ([(20, 2.0), (56, 5.6)], 38, 3.8),
        ([(20, 2.0), (56, 5.6), (110, 16.4)], 56, 5.6),
        ([(20, 2.0), (56, 5.6), (110, 16.4)], 83, 11.0),
        ([(20, 2.0), (56, 5.6), (110, 16.4)], 137, 21.8),
        ([(56, 5.6), (20, 2.0)], 8, 0.8),
        ([(20, 2.0)], 110, 11.0),
        ([(20, 2.0), (20, 4.0)], 20, 3.0),
        # A line that noise has tilted: never less than nothing, nor than in proportion.
        ([(20, 1.0), (56, 9.0)], 8, 0.4),
        ([(20, 5.0), (56, 4.0)], 1202, 4.0),
    ],
)
def test_lines_over_depth(points, depth, seconds):
    assert over_depth(points, depth) == pytest.approx(seconds)


def test_other_scales_are_in_proportion_and_say_so(benchmark_file, place):
    benchmark = read(benchmark_file())
    half = estimate(run(model=ModelConfig(depth=20, width=8)), IMAGES, place, benchmark)
    whole = estimate(run(), IMAGES, place, benchmark)
    assert half.seconds - START == pytest.approx((whole.seconds - START) / 2)
    assert half.basis == "scaled"
    quarter = estimate(run(), replace(IMAGES, side=16), place, benchmark)
    assert quarter.seconds - START == pytest.approx((whole.seconds - START) / 4)


def test_the_nearest_scale_counts():
    quick = replace_scale(8, 16)
    assert nearest_scale([*quick, *replace_scale(16, 32)], 8, 16) == (quick, 1.0)
    assert nearest_scale([*quick, *replace_scale(16, 32)], 4, 16) == (quick, 0.5)


def replace_scale(width, side):
    speed = read(RECORDED).speeds[0]
    return [replace(speed, width=width, side=side)]


def test_the_recipe_is_the_one_that_is_nearest(benchmark_file, place):
    slow = record("ResNet-20", 20, 2, 1)
    fast = record("ResNet-20", 20, 1, 2, images_per_second=1000.0)
    half = record("ResNet-20", 20, 2, 1, precision="bf16", images_per_second=4000.0)
    benchmark = read(benchmark_file(slow, fast, half))
    alone = Place("local", 1, 2, cores=2)
    times = {
        "sweep": estimate(run(), IMAGES, place, benchmark),
        "alone": estimate(run(), IMAGES, alone, benchmark),
        "bf16": estimate(run(precision="bf16"), IMAGES, place, benchmark),
        "two threads": estimate(run(threads=2), IMAGES, replace(place, cores=4), benchmark),
    }
    assert times["sweep"].seconds == pytest.approx(START + 64_000 + 120 + 0.5)
    assert 128 < times["alone"].seconds < 400
    assert times["bf16"].seconds == pytest.approx(START + 64 + 120 + 0.5, abs=1)
    assert times["two threads"].seconds == times["alone"].seconds
    assert all(not each.notes for each in times.values())


def test_more_workers_than_cores_take_turns(benchmark_file, place):
    benchmark = read(benchmark_file())
    four = estimate(run(), IMAGES, Place("local", 4, 1, cores=2), benchmark)
    two = estimate(run(), IMAGES, place, benchmark)
    assert four.seconds - two.seconds == pytest.approx(64_000 + 120)


def test_what_was_not_measured_is_said(benchmark_file, place):
    benchmark = read(benchmark_file())

    def notes(where=place, **changes):
        return " ".join(estimate(run(**changes), IMAGES, where, benchmark).notes)

    assert "bf16 was not measured" in notes(precision="bf16")
    assert "a third more" in notes(activation_checkpointing=True)
    assert "plain networks take less" in notes(model=ModelConfig(kind="plain"))
    assert "1 thread of a run was measured, not 8 threads" in notes(threads=8)
    assert "those without take less" in notes(model=ModelConfig(depth=20, norm="none"))
    small = ScheduleConfig(iterations=1000, milestones=(), batch_size=16)
    assert "batches of 128 were measured, not 16" in notes(schedule=small)
    gpu = Place("slurm", 2, 1, gpus=1, cluster=True)
    assert "measured on a CPU, while these runs train on a GPU" in notes(gpu)


def test_one_round_knows_of_no_spread(benchmark_file, place):
    once = record("ResNet-20", 20, 2, 1, rounds=[2.0])
    assert estimate(run(), IMAGES, place, read(benchmark_file(once))).spread is None


@pytest.mark.parametrize("depth", [20, 56, 110])
def test_runs_on_record_took_what_the_benchmark_of_their_machine_says(depth, place):
    taken = []
    for folder in (CHECKOUT / "runs/recorded/bf16").glob(f"residual-A-{depth:03d}-*"):
        config = RunFolder(folder).read_config()
        taken.append((RunFolder(folder).read_manifest() or {})["seconds"])
    found = estimate(config, images_of(config.data), place, read(RECORDED)).seconds - START
    # Other work only makes a run longer; of three seeds the shortest was disturbed least.
    assert len(taken) == 3
    assert found == pytest.approx(min(taken), rel=0.1)


def test_images_are_counted_without_being_there(tmp_path):
    def counted(**changes):
        images = images_of(DataConfig(root=str(tmp_path), **changes))
        return images.train, images.test, images.side

    assert counted() == (50_000, 10_000, 32)
    assert counted(name="shapes") == (10_000, 2_000, 32)
    assert counted(name="shapes", resolution=16, train_images=300) == (300, 2_000, 16)
    assert counted(validation_images=5000) == (45_000, 5_000, 32)
    assert counted(name="cifar100", classes=10) == (5_000, 1_000, 32)
    assert not images_of(DataConfig(root=str(tmp_path))).downloaded


def test_an_image_folder_is_counted_by_name(tmp_path):
    from PIL import Image

    for part, count in (("train", 3), ("test", 2)):
        for name in ("cats", "dogs"):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (24, 24)).save(tmp_path / part / name / f"{number}.png")
    found = images_of(DataConfig(name="image_folder", root=str(tmp_path), label="pets"))
    assert (found.train, found.test, found.side) == (6, 4, 24)


def test_the_file_that_is_named_comes_first_then_this_machines(
    benchmark_file, tmp_path, monkeypatch
):
    given = benchmark_file()
    benchmark_file(name=str(OWN), device_name="Mine", cores=4)
    monkeypatch.chdir(tmp_path)
    assert choose(str(given), "Mine", 4)[1] == "given"
    assert choose(None, "Mine", 4)[0].path == OWN
    for other in (("Mine", 2), ("Another", 4), ("Mine", None)):
        found, source = choose(None, *other)
        assert (found.path, source) == (RECORDED, "another machine")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"machine": {}, "measurements": []}', '{"measurements": 3}', "null", "\x00"],
)
def test_what_is_no_benchmark_is_named(tmp_path, text):
    path = tmp_path / "benchmark.json"
    path.write_text(text)
    with pytest.raises(StorageError, match=r"benchmark=.*python -m resnet_study\.benchmark"):
        read(path)


@pytest.mark.parametrize("change", [{"images_per_second": 0}, {"workers": 0}, {"network": "?"},
                                    {"rounds": ["a"]}, {"checkpoint_seconds": -1}])  # fmt: skip
def test_numbers_that_cannot_be_are_named(benchmark_file, change):
    with pytest.raises(StorageError, match="allowed is a file of"):
        read(benchmark_file(record("ResNet-20", 20, 2, 1) | change))


SLURM = {"_target_": "a.StudySlurm", "array_parallelism": 4, "timeout_min": 60}


@pytest.mark.parametrize(
    "settings, gpus, expected",
    [
        ({"n_jobs": -1}, 0, (8, 1, 0, False)),
        ({"n_jobs": 2}, 0, (2, 4, 0, False)),
        ({"n_jobs": -1}, 2, (8, 1, 2, False)),
        ({}, 0, (1, 8, 0, False)),
        ({"array_parallelism": -1, "timeout_min": 60}, 0, (8, 1, 0, False)),
        ({"array_parallelism": 3}, 0, (3, 2, 0, False)),
        (SLURM, 0, (4, 1, 0, True)),
        (SLURM | {"array_parallelism": 64, "cpus_per_task": 3}, 0, (15, 3, 0, True)),
        (SLURM | {"gpus_per_node": 2}, 0, (4, 1, 2, True)),
    ],
)
def test_where_launchers_train(settings, gpus, expected):
    place = place_of("one", settings, 15, 8, gpus)
    assert (place.workers, place.threads, place.gpus, place.cluster) == expected
    assert place.own_process == ("array_parallelism" in settings)
    assert place.minutes == ((60, 0) if "timeout_min" in settings else None)

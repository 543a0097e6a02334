"""The benchmark: what it measures is training, and what it writes can be read."""

import json
import multiprocessing
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest
import torch

from resnet_study.benchmark import loader, measure, pool
from resnet_study.benchmark.networks import DEFAULT, run_of
from resnet_study.benchmark.pool import Window, WorkerPool
from resnet_study.benchmark.trials import DELAY, training_operations, trials_of
from resnet_study.config import ModelConfig
from resnet_study.system.errors import StudyError
from tests.comparison import curve, hear_ctrl_c


@pytest.fixture
def config(tmp_path, cache, monkeypatch):
    """The run of quick-8, which a window without seconds ends after 40 iterations."""
    monkeypatch.setattr(pool, "MIN_MARKS", 40)
    config = replace(run_of("quick-8"), runs_dir=str(tmp_path), device="cpu", threads=1)
    schedule = replace(config.schedule, log_every=5)
    return replace(config, data=replace(config.data, cache=str(cache)), schedule=schedule)


def test_a_window_counts_what_lies_in_it_and_waits_until_all_have_seen_enough(monkeypatch):
    counter = multiprocessing.get_context("spawn").Value("i", 0)
    monkeypatch.setattr(Window, "finished", counter)
    quick, slow = Window(start=10.0, seconds=10.0, processes=2), Window(10.0, 15.0, processes=2)
    over = []
    for now, iteration in ((9.0, 1), (11.0, 2), (21.0, 3), (23.0, 7), (26.0, 8)):
        monkeypatch.setattr(time, "monotonic", lambda now=now: now)
        quick.mark(iteration)
        slow.mark(iteration)
        over.append((quick.over, slow.over, counter.value))
    assert over == [(False, False, 0)] * 3 + [(False, False, 1), (False, True, 2)]
    assert quick.over
    assert slow.seconds_per_iteration() == (26 - 11) / (8 - 2)


@pytest.mark.parametrize("name", DEFAULT)
def test_networks_are_those_of_the_study(name):
    config = run_of(name)
    scale, depth = name.split("-")
    assert config.model == ModelConfig("residual", int(depth), "A", width=config.model.width)
    sizes = (config.model.width, config.data.resolution, config.schedule.batch_size)
    assert sizes == ((16, None, 128) if scale == "ResNet" else (8, 16, 64))
    assert config.checkpoint.every == (1000 if scale == "ResNet" else 250)


@pytest.mark.parametrize(
    "option",
    [
        *(f"networks={name}" for name in ("ResNet-21", "VGG-16", "quick", "quick-2")),
        *("rounds=0", "seconds=0.0", "workers=0", "output=pyproject.toml/x"),
    ],
)
def test_wrong_arguments_are_one_line(option, cli):
    ended = cli(f"--{option}", module="resnet_study.benchmark")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert ended.stderr.startswith(f"error: {option}: ")


def test_recipes_share_the_cores():
    def found(*arguments):
        trials = trials_of("quick-20", "runs", *arguments)
        return [(t.recipe, t.precision, t.workers, t.config.threads) for t in trials]

    several = found("cpu", 8, 4, ["fp32", "bf16"])
    assert several[:2] == [("conventional", "fp32", 1, 8), ("one process", "fp32", 1, 8)]
    assert several[3:] == [("sweep", "fp32", 4, 2), ("sweep", "bf16", 4, 2)]
    assert found("cpu", 1, 1, ["fp32"]) == [
        (r, "fp32", 1, 1) for r in ("conventional", "one process")
    ]
    # On a GPU torch's default for convolutions is TF32, so that is the conventional ceiling.
    assert found("cuda", 8, 8, ["fp32"])[0] == ("conventional", "tf32", 1, 8)


def test_operations_are_six_for_each_multiply_add_and_the_matrix_product_is_timed(monkeypatch):
    # He et al. 2015: ResNet-20 has about 40.6 million multiply-adds at 32×32.
    assert training_operations(ModelConfig(depth=20), 32) == pytest.approx(6 * 40.6e6, rel=0.02)
    monkeypatch.setitem(measure.SIDES, "cpu", (256,))
    assert 1e8 < measure.matrix_product("fp32", "cpu", 1) < 1e14


def test_the_conventional_recipe_trains(config, monkeypatch):
    losses = []
    cross_entropy = torch.nn.functional.cross_entropy

    def seen(*arguments):
        losses.append(cross_entropy(*arguments))
        return losses[-1]

    monkeypatch.setattr("resnet_study.benchmark.measure.F.cross_entropy", seen)
    assert measure.conventional(config, Window(0.0, 0.0), 0) > 0
    assert len(losses) == 40
    assert sum(losses[-10:]) < sum(losses[:10])


def test_training_is_a_run_with_its_rows_and_checkpoints(config, tmp_path):
    window = Window(0.0, 0.0)
    found = measure.training(config, window)
    assert found["peak_memory_bytes"] > 10_000_000
    (folder,) = (tmp_path / "benchmark").iterdir()
    assert (folder / "checkpoint.pt").exists()
    assert [int(row["iteration"]) for row in curve(folder)] == [*range(5, 41, 5)]
    each = window.seconds_per_iteration() + found["checkpoint_seconds"] / 250
    assert found["images_per_second"] == pytest.approx(64 / each)
    config = replace(config, seed=1, schedule=replace(config.schedule, iterations=3, log_every=1))
    with pytest.raises(StudyError, match="finished before the time was over"):
        measure.training(config, Window(time.monotonic(), 600.0))


@pytest.mark.slow
def test_all_is_measured_written_drawn_and_read(tmp_path, monkeypatch, cli):
    monkeypatch.setitem(DELAY, "cpu", 0.2)
    words = ["--networks", "quick-8", "--rounds", "1", "--seconds", "0.3", "--precisions", "fp32"]
    words += ["--workers", "2", "--output", str(tmp_path)]
    ended = cli(*words, module="resnet_study.benchmark")
    result = json.loads((tmp_path / "benchmark.json").read_text())
    kinds = [(record["recipe"], record["workers"]) for record in result["measurements"]]
    assert kinds == [("conventional", 1), ("one process", 1), ("sweep", 2)]
    base = result["measurements"][0]["images_per_second"]
    ceiling = result["ceiling_operations_per_second"]["fp32"][0]
    operations = training_operations(ModelConfig(depth=8, width=8), 16)
    for record in result["measurements"]:
        rate = record["images_per_second"]
        assert record["rounds"] == [rate]
        assert record["times_conventional"] == pytest.approx(rate / base)
        assert record["share_of_ceiling"] == pytest.approx(rate * operations / ceiling)
    assert all(r["evaluation_images_per_second"] > 0 for r in result["measurements"][1:])
    drawn = {f"throughput.{suffix}" for suffix in ("png", "svg", "pdf")}
    assert {path.name for path in tmp_path.iterdir()} == {"benchmark.json", "speeds.md"} | drawn
    assert {"quick-8", "conventional,"} <= set(ended.stdout.split())


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_whoever_ends_it_finds_nothing_left(tmp_path, number):
    command = [sys.executable, "-m", "resnet_study.benchmark", "--output", str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=hear_ctrl_c)
    with process:
        try:
            while not list(tmp_path.glob(".scratch-*/benchmark/*/metrics.csv")):
                assert process.poll() is None
                time.sleep(0.05)
            children = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(number)
            _, errors = process.communicate(timeout=300)
        finally:
            process.kill()
    assert process.returncode == 130
    assert errors.splitlines()[-1].startswith("interrupted; ")
    assert "Traceback" not in errors
    assert not list(tmp_path.iterdir())
    assert len(children) > 0 == len(psutil.wait_procs(children, timeout=120)[1])


def fail_beside_one_that_waits(fails):
    if fails:
        raise StudyError("benchmark", 1, "fails")
    time.sleep(600)


@pytest.mark.slow
def test_an_error_in_one_process_ends_the_others():
    with WorkerPool(2) as workers, pytest.raises(StudyError, match="benchmark=1: fails"):
        workers.run(fail_beside_one_that_waits, (False,), (True,))
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("text", [None, "{}", "[]", "nonsense", '{"measurements": []}'])
def test_drawing_says_what_is_no_benchmark(tmp_path, cli, text):
    file = tmp_path / "benchmark.json"
    if text is not None:
        file.write_text(text)
    ended = cli(str(tmp_path), module="analysis.benchmark")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert ended.stderr.startswith(f"error: benchmark={file}: ")


# On a busy machine torch may find, when it closes a loader, that a worker of it was interrupted.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.slow
def test_the_reader_is_measured_beside_torchvisions(varied, cli):
    words = ["--rounds=1", "--seconds=0.2", "--workers=1", "--batch-size=8", "--device=cpu"]
    text = cli(str(varied), *words, module="resnet_study.benchmark.loader").stdout
    assert all(name in text for name in (loader.OURS, *loader.REFERENCES))
    ended = cli(str(varied / "nowhere"), *words, module="resnet_study.benchmark.loader")
    assert (ended.returncode, ended.stderr[:17]) == (2, "error: data.root=")


def test_all_sources_give_the_same_kind_of_batch(varied, tmp_path):
    root = shutil.copytree(varied, tmp_path / "photos")
    for part in ("train", "val"):
        (root / part / ".ipynb_checkpoints").mkdir()
    found = loader.sources(root, 8, 0, torch.device("cpu"), str(tmp_path))
    for start in found.values():
        images, labels = next(start())
        assert (images.shape, labels.shape) == ((8, 3, 224, 224), (8,))
        assert images.dtype == torch.float32
        assert -3 < float(images.mean()) < 3

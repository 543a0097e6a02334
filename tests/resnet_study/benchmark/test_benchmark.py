"""The benchmark: what it measures is training, and what it writes can be read."""

from __future__ import annotations

import json
import multiprocessing
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pandas as pd
import psutil
import pytest
import torch

from analysis import benchmark as drawing
from resnet_study.benchmark import __main__ as command_line
from resnet_study.benchmark import loader, measure
from resnet_study.benchmark.conventional import Images, conventional
from resnet_study.benchmark.measure import Window, matrix_product, ours
from resnet_study.benchmark.session import Session, recipes_for, training_operations
from resnet_study.benchmark.subjects import DEFAULT, Subject
from resnet_study.config import ModelConfig
from resnet_study.data import load_images
from resnet_study.errors import StudyError
from tests.comparison import hear_ctrl_c


@pytest.fixture
def config(tmp_path, cache):
    """The run of quick-8, on images that are drawn already."""
    config = Subject(8, "quick").config(str(tmp_path), "fp32", "cpu", 1)
    config = replace(config, data=replace(config.data, cache=str(cache)))
    load_images(config.data)
    return config


def test_a_window_counts_what_lies_in_it_and_waits_for_enough():
    window = Window.of(seconds=0.05, delay=0.05)
    window.mark(1)
    assert window.marks == []
    time.sleep(0.06)
    for iteration in (2, 3):
        window.mark(iteration)
    time.sleep(0.06)
    assert not window.over
    window.mark(5)
    assert window.over
    (_, began), *_, (_, ended) = window.marks
    assert window.seconds_per_iteration() == pytest.approx((ended - began) / 3)


def test_none_stops_before_all_have_seen_enough(monkeypatch):
    counter = multiprocessing.get_context("spawn").Value("i", 0)
    monkeypatch.setattr(measure.together, "done", counter)
    quick, slow = Window.of(0.0, 0.0, 2), Window.of(0.0, 0.0, 2)
    for iteration in range(3):
        quick.mark(iteration)
    assert (quick.over, counter.value) == (False, 1)
    for iteration in range(3):
        slow.mark(iteration)
    assert (slow.over, quick.over, counter.value) == (True, True, 2)


@pytest.mark.parametrize("subject", DEFAULT, ids=lambda subject: subject.name)
def test_subjects_are_the_networks_of_the_study(subject):
    config = subject.config("runs", "fp32", "cpu", 1)
    assert Subject.named(subject.name) == subject
    assert config.model.depth == subject.depth
    sizes = (config.model.width, config.data.resolution, config.schedule.batch_size)
    assert sizes == ((16, None, 128) if subject.scale == "paper" else (8, 16, 64))


NAMES = "allowed are ResNet-DEPTH and quick-DEPTH, depth 6n+2"


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        *(("networks", name, NAMES) for name in ("ResNet-21", "VGG-16", "quick-", "quick-2")),
        *((name, "0", "allowed is more than 0") for name in ("rounds", "seconds", "workers")),
        ("output", "file/x", "cannot be written"),
    ],
)
def test_wrong_arguments_are_one_line(option, value, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    assert command_line.main([f"--{option}", value]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {option}={value}")
    assert message in error
    assert error.count("\n") == 1


def test_recipes_share_the_cores():
    found = recipes_for(8, 8, ["fp32", "bf16"])
    ours = ["one process, fp32", "one process, bf16", "sweep, fp32", "sweep, bf16"]
    assert [recipe.name for recipe in found] == ["conventional", *ours]
    assert [(r.workers, r.threads) for r in found] == [(1, 8), (1, 8), (1, 8), (8, 1), (8, 1)]
    assert [r.name for r in recipes_for(1, 1, ["fp32"])] == ["conventional", "one process, fp32"]
    # On a GPU torch's default for convolutions is TF32, so that is the conventional ceiling.
    assert recipes_for(8, 8, ["fp32"], on_gpu=True)[0].precision == "tf32"


def test_operations_are_six_for_each_multiply_add_and_the_matrix_product_is_timed():
    # He et al. 2015: ResNet-20 has about 40.6 million multiply-adds at 32×32.
    assert training_operations(ModelConfig(depth=20), 32) == pytest.approx(6 * 40.6e6, rel=0.02)
    rate = matrix_product("fp32", "cpu", 1, seconds=0.05, sides=(256, 512))
    assert 1e9 < rate < 1e14


def test_the_conventional_recipe_trains(config, monkeypatch):
    seen = []
    cross_entropy = torch.nn.functional.cross_entropy
    monkeypatch.setattr(
        "resnet_study.benchmark.conventional.F.cross_entropy",
        lambda *arguments: seen.append(cross_entropy(*arguments)) or seen[-1],
    )
    monkeypatch.setattr("resnet_study.benchmark.measure.MARKS", 40)
    found = conventional(config, Window.of(0.0, 0.0), 0)
    assert found["images_per_second"] > 0
    losses = [float(loss.detach()) for loss in seen]
    assert len(losses) == 40
    assert sum(losses[-10:]) < sum(losses[:10])
    images = load_images(config.data)
    image, label = Images(images.train_images, images.train_labels, 2)[7]
    assert image.shape == (3, 16, 16)
    assert label == images.train_labels[7]


@pytest.mark.slow
def test_ours_is_a_run_with_its_rows_and_checkpoints(config, tmp_path):
    config = replace(config, schedule=replace(config.schedule, log_every=5))
    found = ours(config, Window.of(3.0, 0.2), 250)
    assert found["peak_memory_bytes"] > 10_000_000
    assert 0 < found["checkpoint_seconds"] < 5
    (folder,) = (tmp_path / "benchmark").iterdir()
    assert (folder / "checkpoint.pt").exists()
    logged = pd.read_csv(folder / "metrics.csv")["images_per_second"].mean()
    # Others may slow down a part of the run.
    assert 1 / 3 < found["images_per_second"] / logged < 3


def test_a_run_that_ends_of_itself_is_no_measurement(config):
    config = replace(config, schedule=replace(config.schedule, iterations=3, log_every=1))
    with pytest.raises(StudyError, match="finished before its time"):
        ours(config, Window.of(600.0, 0.0), 250)


@pytest.mark.slow
def test_a_session_is_measured_written_drawn_and_read(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Session, "delay", 0.2)
    words = ["--networks", "quick-8", "--rounds", "1", "--seconds", "0.3", "--precisions", "fp32"]
    assert command_line.main([*words, "--workers", "2", "--output", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "benchmark.json").read_text())
    kinds = [(r["recipe"], r["precision"], r["workers"]) for r in result["measurements"]]
    assert kinds == [("conventional", "fp32", 1), ("one process", "fp32", 1), ("sweep", "fp32", 2)]
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
    assert {"quick-8", "conventional"} <= set(capsys.readouterr().out.split())


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_whoever_ends_it_finds_nothing_left(tmp_path, number):
    words = ["--networks", "quick-8", "--rounds", "50", "--output", str(tmp_path)]
    command = [sys.executable, "-m", "resnet_study.benchmark", *words]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, preexec_fn=hear_ctrl_c
    ) as process:
        try:
            deadline = time.monotonic() + 300
            while not list(tmp_path.glob(".scratch-*/*/benchmark/*/metrics.csv")):
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.05)
            children = psutil.Process(process.pid).children(recursive=True)
            assert children
            process.send_signal(number)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert errors.splitlines()[-1].startswith("interrupted; ")
    assert "Traceback" not in errors
    assert not list(tmp_path.iterdir())
    assert not psutil.wait_procs(children, timeout=10)[1]


@pytest.mark.parametrize("text", [None, "{}", "[]", "nonsense", '{"measurements": []}'])
def test_drawing_says_what_is_no_benchmark(tmp_path, capsys, text):
    if text is not None:
        (tmp_path / "benchmark.json").write_text(text)
    assert drawing.main([str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: benchmark={tmp_path / 'benchmark.json'}: ")
    assert error.count("\n") == 1


@pytest.mark.slow
def test_the_reader_is_measured_beside_torchvisions(varied, capsys):
    words = ["--rounds", "1", "--seconds", "0.2", "--workers", "1", "--batch-size", "8"]
    assert loader.main([str(varied), *words, "--device", "cpu"]) == 0
    text = capsys.readouterr().out
    for name in ("the paper's, ours", "torchvision's reference", "the paper's, by torchvision"):
        assert name in text
    assert loader.main([str(varied / "nowhere"), *words]) == 2
    assert capsys.readouterr().err.startswith("error: data.root=")


def test_all_rivals_give_the_same_kind_of_batch(varied, tmp_path):
    made = loader.rivals(varied, 8, 0, torch.device("cpu"), str(tmp_path))
    for batches in made.values():
        images, labels = next(batches())
        assert (images.shape, labels.shape) == ((8, 3, 224, 224), (8,))
        assert images.dtype == torch.float32
        assert -3 < float(images.mean()) < 3

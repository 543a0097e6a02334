"""ImageNet's family on streamed folders: trained, resumed, shared, swept, and evaluated."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from resnet_study.config import (
    AugmentConfig,
    ModelConfig,
    PlateauConfig,
    ProbesConfig,
    RunConfig,
    StartConfig,
)
from resnet_study.errors import ConfigError, DataError
from resnet_study.experiment import run
from resnet_study.interruption import Interrupted
from resnet_study.runs import RunFolder
from resnet_study.training import checkpoint as checkpoints
from tests.comparison import Stop, assert_same_end, curve
from tests.pictures import make_folder
from tests.resnet_study.conftest import SMALL
from tests.resnet_study.test_processes import assert_same_to_rounding, in_processes


def test_a_run_is_trained_evaluated_and_described(streamed, capsys):
    record = run(streamed())
    manifest = record.manifest
    assert record.state == "finished"
    assert manifest["data"]["train_images"] == 60
    assert manifest["data"]["test_images"] == 24
    assert manifest["data"]["height"] == manifest["data"]["width"] == 32
    assert manifest["unreadable_images"] == []
    assert 0 < manifest["waiting_seconds"] < manifest["seconds"]
    assert set(manifest["evaluation"]) == {"single", "ten_crop"}
    rows = curve(record.folder)
    assert len(rows) == 12
    single = manifest["evaluation"]["single"]
    assert single["error"] == float(rows[-1]["test_error"])
    assert single["images"] == 24
    # Four classes have no five best.
    assert single["top5_error"] is None
    # Points of a plateau: the rate falls where the error does not.
    rates = [float(row["learning_rate"]) for row in rows]
    assert rates[0] == 0.02
    assert rates[-1] < 0.02


def test_a_run_ends_at_the_plateau_after_the_last_fall(streamed):
    plateau = PlateauConfig(patience=1, improvement=50.0, drops=1, stop_early=True)
    schedule = replace(streamed().schedule, iterations=1000, plateau=plateau)
    probes = ProbesConfig(gradients=True, at=(2, 1000), images=16)
    config = streamed(schedule=schedule, probes=probes)
    record = run(config)
    # Evaluated after 3, 6 and 9: the lowest so far, a fall, the end; saved and scored as any.
    assert record.state == "finished"
    assert [row["learning_rate"] for row in curve(record.folder)][-1] == "0.002"
    assert checkpoints.read(record.folder / "checkpoint.pt").state["iteration"] == 9
    assert set(record.manifest["evaluation"]) == {"single", "ten_crop"}
    # The look at the trained network.
    looks = pd.read_csv(record.folder / "probes.csv")["iteration"]
    assert sorted(looks.unique()) == [2, 9]
    assert run(config).manifest == record.manifest
    with pytest.raises(ConfigError, match="without activation_gradient_norm at iteration 3"):
        run(replace(config, probes=replace(probes, at=(3,))))


@pytest.mark.parametrize("at", [5])
def test_a_run_that_was_stopped_in_mid_epoch_ends_the_same(streamed, tmp_path, at):
    whole = run(streamed(runs_dir=str(tmp_path / "whole")))
    with pytest.raises(Interrupted):
        run(streamed(), Stop(at, signal.SIGTERM))
    record = run(streamed(stream=replace(SMALL, workers=0)))
    assert record.manifest["resumed"][0]["iteration"] == at
    assert_same_end(whole.folder, record.folder)
    assert record.manifest["evaluation"] == whole.manifest["evaluation"]


def test_two_processes_make_the_curve_of_one(streamed, tmp_path):
    # Of 32×32 pixels the last stage has one left, where rounding soon grows.
    stream = replace(SMALL, crop=64, scale=(68, 80), test_scale=72)
    slow = replace(streamed().schedule, learning_rate=0.001)
    together = streamed(stream=stream, schedule=slow, kernels="torch")
    alone = run(replace(together, runs_dir=str(tmp_path / "alone")))
    assert in_processes(2, run, together) == [0, 0]
    folder = RunFolder.of(together)
    assert_same_to_rounding(alone.folder, folder.path)
    views = folder.read_manifest()["evaluation"]
    assert views["ten_crop"]["images"] == 24
    for view, scores in alone.manifest["evaluation"].items():
        assert views[view]["loss"] == pytest.approx(scores["loss"], rel=1e-3)


def test_a_run_that_meets_a_broken_image_fails_and_goes_on_where_that_is_wanted(streamed, tmp_path):
    broken = make_folder(tmp_path / "spoiled", 40, 12, broken=3, largest=60, classes=3)
    stream = replace(SMALL, normalization="torchvision")

    def spoiled(unreadable: str) -> RunConfig:
        config = streamed(stream=replace(stream, unreadable=unreadable))
        config = replace(config, schedule=replace(config.schedule, eval_train_images=2))
        data = replace(
            config.data, root=str(tmp_path / "spoiled"), augment=AugmentConfig(padding=0)
        )
        return replace(config, data=data)

    with pytest.raises(DataError, match="cannot be read"):
        run(spoiled("stop"))
    folder = RunFolder.of(spoiled("stop"))
    assert folder.read_manifest()["state"] == "failed"
    with pytest.warns(UserWarning, match="is left out"):
        record = run(spoiled("skip"))
    # It is the same run: no other curve where nothing is broken.
    assert record.folder == folder.path
    names = sorted(str(path.relative_to(tmp_path / "spoiled")) for path in broken)
    assert record.manifest["unreadable_images"] == names


def test_what_any_process_cannot_read_is_in_the_manifest(streamed, tmp_path):
    broken = make_folder(tmp_path / "spoiled", 40, 12, broken=5, largest=60, classes=3)
    stream = replace(SMALL, normalization="torchvision", unreadable="skip", workers=0)
    config = streamed(stream=stream, kernels="torch")
    data = replace(config.data, root=str(tmp_path / "spoiled"), augment=AugmentConfig(padding=0))
    config = replace(config, data=data)
    assert in_processes(2, run, config) == [0, 0]
    names = sorted(str(path.relative_to(tmp_path / "spoiled")) for path in broken)
    assert RunFolder.of(config).read_manifest()["unreadable_images"] == names


@pytest.mark.parametrize(
    ("kind", "shortcut", "depth"), [("plain", None, 34), ("residual", "C", 50)]
)
def test_probes_see_every_layer(streamed, kind, shortcut, depth):
    probes = ProbesConfig(gradients=True, responses=True, at=(12,), images=8)
    model = {"kind": kind, "shortcut": shortcut, "depth": depth}
    record = run(streamed(model, probes=probes))
    lines = (record.folder / "probes.csv").read_text().splitlines()[1:]
    for measure in ("weight_gradient_norm", "forward_variance", "response_deviation"):
        positions = [line.split(",")[2] for line in lines if line.startswith(f"12,{measure},")]
        # All but the head.
        assert positions == [str(p) for p in range(1, depth)]


def test_a_run_starts_from_a_shallower_one(streamed):
    record = run(streamed({"depth": 34}, start=StartConfig(depth=18)))
    assert record.state == "finished"
    shallow = RunFolder(record.folder.parent / record.manifest["start"]["run"])
    last = float(curve(shallow.path)[-1]["clean_train_loss"])
    assert float(curve(record.folder)[0]["clean_train_loss"]) == pytest.approx(last, rel=1e-4)


def test_a_finished_run_is_not_trained_again_from_a_folder_that_moved(streamed, varied, tmp_path):
    def at(root: Path) -> RunConfig:
        config = streamed()
        return replace(config, data=replace(config.data, root=str(root), label="varied"))

    first = run(at(varied))
    moved = tmp_path / "elsewhere"
    shutil.copytree(varied, moved)
    assert run(at(moved)).manifest["ended"] == first.manifest["ended"]
    next(moved.glob("train/*/*")).unlink()
    with pytest.raises(DataError, match="was made with other images of the same name"):
        run(at(moved))


def test_images_in_memory_train_the_family_too(tiny):
    model = ModelConfig(architecture="imagenet", depth=50, width=4, shortcut="B")
    record = run(tiny(model=model, data=replace(tiny().data, resolution=None)))
    assert record.state == "finished"
    assert "evaluation" not in record.manifest


STREAMED = (
    "data=streamed_folder", "data.stream.crop=32", "data.stream.scale=[34,48]",
    "data.stream.test_scale=36", "data.stream.workers=1", "data.train_images=null",
    "model.depth=18",
)  # fmt: skip


def test_a_sweep_streams_in_its_workers(command, varied, tmp_path):
    done = command(
        "-m", *STREAMED, f"data.root={varied}", "model=plain_imagenet,residual_imagenet",
        "data.resolution=null", "hydra.launcher.n_jobs=2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    states = [
        json.loads(path.read_text())["state"] for path in tmp_path.glob("runs/*/*/manifest.json")
    ]
    assert states == ["finished", "finished"]


def test_a_missing_folder_is_one_line(command, tmp_path):
    named = ("model=residual_imagenet", "data.resolution=null")
    done = command(*STREAMED, *named, f"data.root={tmp_path / 'nowhere'}")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: data.root={tmp_path / 'nowhere'}: is not there; allowed")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_trains_on_a_stream_what_a_cpu_does(streamed, tmp_path):
    """With pinned memory, copies that nothing waits for, and captured iterations."""
    stream = replace(SMALL, crop=64, scale=(68, 80), test_scale=72)
    slow = replace(streamed().schedule, learning_rate=0.001)
    config = streamed(stream=stream, schedule=slow, kernels="torch", device="cpu")
    alone = run(replace(config, runs_dir=str(tmp_path / "alone")))
    record = run(replace(config, device="cuda"))
    assert_same_to_rounding(alone.folder, record.folder)
    assert record.manifest["evaluation"]["ten_crop"]["images"] == 24

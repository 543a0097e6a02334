"""ImageNet's family on streamed folders: trained, resumed, shared, swept, and evaluated."""

import shutil
from dataclasses import replace

import pandas as pd
import pytest
import torch

from resnet_study.config import AugmentConfig, ModelConfig, PlateauConfig, ProbesConfig
from resnet_study.experiment import run
from resnet_study.store.folder import RunFolder
from resnet_study.system.errors import ConfigError, DataError
from resnet_study.training import checkpoint as checkpoints
from tests.comparison import assert_same_end, curve, interrupted_at
from tests.pictures import make_folder
from tests.resnet_study.conftest import SMALL
from tests.resnet_study.training.test_world import assert_same_to_rounding, in_processes


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_run_is_trained_evaluated_described_and_resumed(streamed, varied, tmp_path, workers):
    stream = replace(SMALL, workers=workers)
    whole = run(streamed(stream, runs_dir=str(tmp_path / "whole")))
    manifest = whole.manifest
    assert whole.state == "finished"
    sizes = [manifest["data"][key] for key in ("train_images", "test_images", "height", "width")]
    assert sizes == [60, 24, 32, 32]
    assert manifest["unreadable_images"] == []
    assert 0 < manifest["waiting_seconds"] < manifest["seconds"]
    assert set(manifest["evaluation"]) == {"single", "ten_crop"}
    rows = curve(whole.folder)
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

    # Stopped in the middle of an epoch, it goes on with a folder that has moved.
    moved = shutil.copytree(varied, tmp_path / "moved")
    folder = interrupted_at(streamed(stream), 5)
    resumed = run(streamed(root=moved))
    assert resumed.manifest["resumed"][0]["iteration"] == 5
    assert_same_end(whole.folder, folder.path)
    assert resumed.manifest["evaluation"] == manifest["evaluation"]
    # Finished, it is not trained again if the moved folder holds the same images.
    again = streamed(root=moved, runs_dir=str(tmp_path / "whole"))
    assert run(again).manifest == manifest
    next(moved.glob("train/*/*")).unlink()
    with pytest.raises(DataError, match="was made with other images of the same name"):
        run(again)


def test_statistics_are_recomputed_from_streamed_images(streamed, tmp_path):
    schedule = {"plateau": PlateauConfig(), "eval_every": 6}
    usual = run(streamed(schedule=schedule, runs_dir=str(tmp_path / "usual")))
    record = run(streamed(schedule=schedule | {"eval_statistics": "recomputed"}))
    rows, others = curve(record.folder), curve(usual.folder)
    assert [row["train_loss"] for row in rows] == [row["train_loss"] for row in others]
    assert rows[-1]["test_loss"] != others[-1]["test_loss"]
    single = record.manifest["evaluation"]["single"]
    assert single["loss"] == pytest.approx(float(rows[-1]["test_loss"]), rel=1e-6)


def test_a_run_ends_at_the_plateau_after_the_last_fall(streamed):
    plateau = PlateauConfig(patience=1, improvement=50.0, drops=1, stop_early=True)
    probes = ProbesConfig(gradients=True, at=(2, 1000), images=16)
    config = streamed(schedule={"iterations": 1000, "plateau": plateau}, probes=probes)
    record = run(config)
    # Evaluated after 3, 6 and 9: the lowest so far, a fall, the end; saved and scored as any.
    assert record.state == "finished"
    assert curve(record.folder)[-1]["learning_rate"] == "0.002"
    assert checkpoints.read(record.folder / "checkpoint.pt").state["iteration"] == 9
    assert set(record.manifest["evaluation"]) == {"single", "ten_crop"}
    # The look at the trained network.
    looks = pd.read_csv(record.folder / "probes.csv")["iteration"]
    assert sorted(looks.unique()) == [2, 9]
    assert run(config).manifest == record.manifest
    with pytest.raises(ConfigError, match="without activation_gradient_norm at iteration 3"):
        run(replace(config, probes=replace(probes, at=(3,))))


@pytest.fixture
def steady(streamed):
    """Of 32×32 pixels the last stage has one left, where rounding soon grows."""
    stream = replace(SMALL, crop=64, scale=(68, 80), test_scale=72)

    def make(**changes):
        return streamed(stream, {"learning_rate": 0.001}, kernels="torch", **changes)

    return make


@pytest.mark.slow
def test_two_processes_make_the_curve_of_one(steady, tmp_path):
    alone = run(steady(runs_dir=str(tmp_path / "alone")))
    in_processes(2, run, steady())
    folder = RunFolder.of(steady())
    assert_same_to_rounding(alone.folder, folder.path)
    views = folder.read_manifest()["evaluation"]
    assert views["ten_crop"]["images"] == 24
    for view, scores in alone.manifest["evaluation"].items():
        assert views[view]["loss"] == pytest.approx(scores["loss"], rel=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_trains_on_a_stream_what_a_cpu_does(steady, tmp_path):
    """With pinned memory, copies that nothing waits for, and captured iterations."""
    alone = run(steady(device="cpu", runs_dir=str(tmp_path / "alone")))
    record = run(steady(device="cuda"))
    # Found to be 2e-4 on an H200: its convolutions sum in another order.
    assert_same_to_rounding(alone.folder, record.folder, loss=2e-3)
    assert record.manifest["evaluation"]["ten_crop"]["images"] == 24


@pytest.fixture
def spoiled(streamed, tmp_path):
    """Makes runs on a folder with three broken images; gives these, too."""
    root = tmp_path / "spoiled"
    broken = make_folder(root, 40, 12, broken=3, largest=60, classes=3)

    def make(unreadable: str):
        stream = replace(SMALL, normalization="torchvision", unreadable=unreadable)
        config = streamed(stream, {"eval_train_images": 2}, root, kernels="torch")
        # Without variation of colour, which all training images are read for before they train.
        data = replace(config.data, augment=AugmentConfig(padding=0))
        return replace(config, data=data)

    return make, sorted(str(path.relative_to(root)) for path in broken)


def test_a_run_that_meets_a_broken_image_fails_and_goes_on_where_that_is_wanted(spoiled):
    config, broken = spoiled
    with pytest.raises(DataError, match="cannot be read"):
        run(config("stop"))
    folder = RunFolder.of(config("stop"))
    assert folder.read_manifest()["state"] == "failed"
    with pytest.warns(UserWarning, match="is left out"):
        record = run(config("skip"))
    # It is the same run: no other curve where nothing is broken.
    assert record.folder == folder.path
    assert record.manifest["unreadable_images"] == broken


@pytest.mark.slow
def test_what_any_process_cannot_read_is_in_the_manifest(spoiled):
    config, broken = spoiled
    in_processes(2, run, config("skip"))
    assert RunFolder.of(config("skip")).read_manifest()["unreadable_images"] == broken


@pytest.mark.parametrize("kind, shortcut, depth", [("plain", None, 34), ("residual", "C", 50)])
def test_probes_see_every_layer(streamed, kind, shortcut, depth):
    probes = ProbesConfig(gradients=True, responses=True, at=(1,), images=8)
    model = {"kind": kind, "shortcut": shortcut, "depth": depth}
    record = run(streamed(schedule={"iterations": 1, "eval_every": 1}, model=model, probes=probes))
    found = pd.read_csv(record.folder / "probes.csv").groupby("measure")["position"]
    for measure in ("weight_gradient_norm", "forward_variance", "response_deviation"):
        # All but the head.
        assert list(found.get_group(measure)) == [*range(1, depth)]


def test_images_in_memory_train_the_family_too(tiny):
    model = ModelConfig(architecture="imagenet", depth=50, width=4, shortcut="B")
    record = run(tiny(model=model, data=replace(tiny().data, resolution=None)))
    assert record.state == "finished"
    assert "evaluation" not in record.manifest

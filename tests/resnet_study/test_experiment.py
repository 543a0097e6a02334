"""One run from Python: same description, same curve; finished once, trained once."""

import os
import shutil
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from resnet_study import experiment
from resnet_study.experiment import run
from resnet_study.progress import Reporter
from resnet_study.store.folder import METRICS, RunFolder
from resnet_study.system.errors import ShortageError
from resnet_study.system.interruption import Interrupted
from resnet_study.training.step import Step
from tests.comparison import TIMES, curve


def test_a_run_leaves_its_config_manifest_and_metrics_once(tiny, monkeypatch):
    config, reporter, told = tiny(), Reporter(), []
    reporter.iteration = told.append
    record = run(config, reporter)
    assert told == [*range(1, 13)]
    assert record.state == "finished"
    assert record.folder.name == config.run_id
    assert {path.name for path in record.folder.iterdir()} == {
        ".lock", "checkpoint.pt", "config.yaml", "manifest.json", "metrics.csv"
    }  # fmt: skip
    rows = curve(record.folder)
    assert list(rows[0]) == [name for name in METRICS if name not in TIMES]
    assert [int(row["iteration"]) for row in rows] == [3, 6, 9, 12]
    assert [row["test_error"] != "" for row in rows] == [False, True, False, True]
    manifest = record.manifest
    assert manifest["parameters"] == 5006
    assert (manifest["data"]["title"], manifest["data"]["train_images"]) == ("embedded shapes", 200)
    assert manifest["versions"]["torch"]
    assert manifest["peak_memory_bytes"] > 10_000_000
    assert manifest["started"] <= manifest["ended"]

    before = (record.folder / "metrics.csv").stat().st_mtime_ns
    monkeypatch.setattr(experiment, "train", lambda *_, **__: pytest.fail("trained again"))
    assert run(config).manifest == manifest
    assert (record.folder / "metrics.csv").stat().st_mtime_ns == before


@pytest.mark.parametrize("error, state", [(RuntimeError, "failed"), (KeyboardInterrupt, "running")])
def test_a_run_cut_short_is_trained_anew_to_the_same_curve(tiny, tmp_path, error, state):
    def broken(_):
        raise error("a defect")

    config, reporter = tiny(), Reporter()
    folder = RunFolder.of(config)
    reporter.iteration = broken
    with pytest.raises(error):
        run(config, reporter)
    assert folder.read_manifest()["state"] == state
    if state == "failed":
        assert "RuntimeError: a defect" in folder.failure_file.read_text()
    assert run(config).state == "finished"
    assert not folder.failure_file.exists()
    # The same description gives the same curve bit for bit.
    whole = run(tiny(runs_dir=str(tmp_path / "whole")))
    other = run(tiny(seed=1))
    assert curve(folder.path) == curve(whole.folder) != curve(other.folder)


def test_a_run_that_another_trains_is_waited_for_until_it_ends_or_a_stop_is_asked_for(
    tiny, tmp_path, monkeypatch
):
    config = tiny()
    folder = RunFolder.of(config)
    finished = run(replace(config, runs_dir=str(tmp_path / "elsewhere")))
    monkeypatch.setattr(experiment, "train", lambda *_, **__: pytest.fail("trained again"))
    held, over = threading.Event(), threading.Event()

    def hold():
        with folder.lock(lambda: False):
            held.set()
            over.wait()

    def end():
        shutil.copytree(finished.folder, folder.path, dirs_exist_ok=True)
        over.set()

    reporter = Reporter()
    with ThreadPoolExecutor(1) as other:
        other.submit(hold)
        held.wait()
        reporter.waiting = lambda: os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted):
            run(config, reporter)
        reporter.waiting = end
        assert run(config, reporter).manifest == finished.manifest


@pytest.mark.parametrize(
    ("error", "lack"),
    [
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            True,
        ),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_a_lack_of_memory_is_one_line_and_a_defect_is_not(error, lack, tiny, monkeypatch):
    def fail(*_):
        raise error

    monkeypatch.setattr(Step, "_iterate", fail)
    config, rule = tiny(), r"^schedule.batch_size=16: needs too much memory; use a smaller "
    with pytest.raises(ShortageError if lack else type(error), match=rule if lack else "shapes"):
        run(config)
    monkeypatch.undo()
    assert run(config).state == "finished"

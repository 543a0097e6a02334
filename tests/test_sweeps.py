"""Sweeps that lose workers, their parent, or one of their runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from resnet_study.runs import METRICS
from tests.comparison import (
    assert_same_end,
)
from tests.pace import slowness, within

CHECKOUT = Path(__file__).resolve().parent.parent
SWEEP = [
    "-m",
    "model=plain,residual",
    "model.shortcut=A",
    "model.depth=8,14,20",
    "model.width=4",
    "data.resolution=8",
    "data.train_images=200",
    "schedule.iterations=300",
    "schedule.batch_size=16",
    "schedule.milestones=[150]",
    "schedule.eval_every=100",
    "schedule.log_every=25",
    "schedule.eval_train_images=50",
    "schedule.warmup.iterations=null",
    "checkpoint.every=10",
    "experiment_name=sweep",
]


def start_sweep(runs_dir: Path, cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "resnet_study",
            *SWEEP,
            f"runs_dir={runs_dir}",
            f"data.cache={cache}",
        ],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    return errors


@pytest.fixture(scope="module")
def whole_sweep(tmp_path_factory):
    runs = tmp_path_factory.mktemp("whole")
    cache = tmp_path_factory.mktemp("cache")
    finish(start_sweep(runs, cache))
    assert len(list((runs / "sweep").iterdir())) == 6
    return runs / "sweep", cache


def wait_for_checkpoints(runs_dir: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while len(list(runs_dir.glob("sweep/*/checkpoint.pt"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children(recursive=True)
    return [c for c in children if any("popen_loky" in word for word in c.cmdline())]


def assert_same_sweep(runs: Path, whole: Path) -> None:
    assert {p.name for p in runs.iterdir()} == {p.name for p in whole.iterdir()}
    for folder in runs.iterdir():
        assert json.loads((folder / "manifest.json").read_text())["state"] == "finished"
        assert_same_end(folder, whole / folder.name)


@pytest.mark.slow
def test_a_killed_worker_costs_no_run(whole_sweep, tmp_path):
    whole, cache = whole_sweep
    process = start_sweep(tmp_path, cache)
    for count in (1, 4):
        wait_for_checkpoints(tmp_path, count)
        workers_of(process)[0].kill()
    errors = finish(process)
    assert errors.count("warning: a worker process died") == 2
    assert_same_sweep(tmp_path / "sweep", whole)


@pytest.mark.slow
def test_a_killed_parent_takes_its_workers_along_and_the_sweep_goes_on(whole_sweep, tmp_path):
    whole, cache = whole_sweep
    process = start_sweep(tmp_path, cache)
    wait_for_checkpoints(tmp_path, 3)
    workers = workers_of(process)
    process.kill()
    # The workers hold the pipes: this returns when they are gone.
    process.communicate(timeout=60)
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive, "workers outlived their sweep"
    finish(start_sweep(tmp_path, cache))
    assert_same_sweep(tmp_path / "sweep", whole)


@pytest.mark.slow
def test_ctrl_c_stops_promptly_and_says_how_to_go_on(whole_sweep, tmp_path):
    whole, cache = whole_sweep
    before = slowness()
    process = start_sweep(tmp_path, cache)
    wait_for_checkpoints(tmp_path, 3)
    workers = workers_of(process)
    with within(10, before):
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert "Traceback" not in errors
    assert "runs are finished; the same command goes on with the others" in errors
    psutil.wait_procs(workers, timeout=30)
    errors = finish(start_sweep(tmp_path, cache))
    assert_same_sweep(tmp_path / "sweep", whole)
    resumed = [
        json.loads((folder / "manifest.json").read_text())["resumed"]
        for folder in (tmp_path / "sweep").iterdir()
    ]
    assert any(resumed), "no run was saved in the middle"


@pytest.mark.slow
def test_two_sweeps_on_one_folder_share_the_work(whole_sweep, tmp_path):
    whole, cache = whole_sweep
    sweeps = [start_sweep(tmp_path, cache) for _ in range(2)]
    for sweep in sweeps:
        finish(sweep)
    assert_same_sweep(tmp_path / "sweep", whole)
    for folder in (tmp_path / "sweep").iterdir():
        manifest = json.loads((folder / "manifest.json").read_text())
        assert not manifest["resumed"], "a run was trained by both"
        rows = (folder / "metrics.csv").read_text().splitlines()
        assert rows[0] == ",".join(METRICS)


@pytest.mark.slow
def test_a_failing_run_leaves_the_others_alone(whole_sweep, tmp_path):
    whole, cache = whole_sweep
    broken = next(whole.glob("plain-014*")).name
    (tmp_path / "sweep" / broken).mkdir(parents=True)
    # A folder where a file belongs: this run cannot read its state, the others can.
    (tmp_path / "sweep" / broken / "checkpoint.new").mkdir()
    process = start_sweep(tmp_path, cache)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 1
    assert f"failed: {tmp_path / 'sweep' / broken}" in errors
    assert "1 of 6 runs are not finished; the same command goes on with them" in errors
    assert "CheckpointError" in errors
    assert "CheckpointError" in (tmp_path / "sweep" / broken / "failure.txt").read_text()
    (tmp_path / "sweep" / broken / "checkpoint.new").rmdir()
    errors = finish(start_sweep(tmp_path, cache))
    assert "5 finished, 1 to train" in errors
    assert_same_sweep(tmp_path / "sweep", whole)

"""Sweeps that lose workers, their parent, or one of their runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from resnet_study.runs import RunFolder
from tests.comparison import CHECKOUT, assert_same_end
from tests.conftest import TINY
from tests.pace import slowness, within


def start_sweep(runs_dir: Path, cache: Path) -> subprocess.Popen[str]:
    """Six runs, in processes of a group of their own."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "resnet_study", "-m", *TINY),
            *("model=plain,residual", "model.depth=8,14,20", "experiment_name=sweep"),
            *("schedule.iterations=300", "schedule.milestones=[150]", "schedule.eval_every=100"),
            *("checkpoint.every=10", f"runs_dir={runs_dir}", f"data.cache={cache}"),
        ],
        cwd=CHECKOUT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    return errors


@pytest.fixture(scope="module")
def whole(tmp_path_factory, cache):
    runs = tmp_path_factory.mktemp("whole")
    finish(start_sweep(runs, cache))
    assert len(list((runs / "sweep").iterdir())) == 6
    return runs / "sweep"


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
        assert RunFolder(folder).read_manifest()["state"] == "finished"
        assert_same_end(folder, whole / folder.name)


@pytest.mark.slow
def test_a_killed_parent_takes_its_workers_along_and_killed_workers_cost_no_run(
    whole, tmp_path, cache
):
    process = start_sweep(tmp_path, cache)
    wait_for_checkpoints(tmp_path, 2)
    workers = workers_of(process)
    process.kill()
    # The workers hold the pipe: this returns when they are gone.
    process.communicate(timeout=60)
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive, "workers outlived their sweep"

    process = start_sweep(tmp_path, cache)
    for count in (3, 5):
        wait_for_checkpoints(tmp_path, count)
        workers_of(process)[0].kill()
    assert finish(process).count("warning: a worker process died") == 2
    assert_same_sweep(tmp_path / "sweep", whole)


@pytest.mark.slow
def test_ctrl_c_stops_promptly_and_two_sweeps_share_what_is_left(whole, tmp_path, cache):
    before = slowness()
    process = start_sweep(tmp_path, cache)
    wait_for_checkpoints(tmp_path, 3)
    with within(10, before):
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert "Traceback" not in errors
    assert "runs are finished; the same command goes on with the others" in errors

    for sweep in [start_sweep(tmp_path, cache) for _ in range(2)]:
        finish(sweep)
    assert_same_sweep(tmp_path / "sweep", whole)
    folders = (tmp_path / "sweep").iterdir()
    resumed = [len(RunFolder(folder).read_manifest()["resumed"]) for folder in folders]
    assert 1 in resumed, "no run was saved in the middle"
    assert max(resumed) == 1, "a run was trained by both"


def test_a_failing_run_leaves_the_others_alone(cli, tmp_path):
    sweep, runs = ("-m", "model.depth=8", "seed=0,1,2"), tmp_path / "runs"
    assert cli(*sweep, "experiment_name=whole").returncode == 0
    broken = next((runs / "whole").glob("*-s1-*")).name
    # A folder where a file belongs: this run cannot read its state, the others can.
    (runs / "sweep" / broken / "checkpoint.new").mkdir(parents=True)
    done = cli(*sweep, "experiment_name=sweep")
    assert done.returncode == 1
    assert f"failed: {runs / 'sweep' / broken}" in done.stderr
    assert "1 of 3 runs are not finished; the same command goes on with them" in done.stderr
    assert "CheckpointError" in done.stderr
    assert "CheckpointError" in (runs / "sweep" / broken / "failure.txt").read_text()
    (runs / "sweep" / broken / "checkpoint.new").rmdir()
    done = cli(*sweep, "experiment_name=sweep")
    assert done.returncode == 0
    assert "2 finished, 1 to train" in done.stderr
    assert_same_sweep(runs / "sweep", runs / "whole")

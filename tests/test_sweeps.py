"""Sweeps that lose workers, their parent, or one of their runs."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from resnet_study.runs import RunFolder
from tests.comparison import assert_same_end
from tests.pace import slowness, within
from tests.started import Sweep

SIX = (
    *("model=plain,residual", "model.depth=8,14,20", "schedule.iterations=300"),
    *("schedule.milestones=[150]", "schedule.eval_every=100", "checkpoint.every=10"),
)


def workers_of(sweep: Sweep) -> list[psutil.Process]:
    children = psutil.Process(sweep.process.pid).children(recursive=True)
    return [c for c in children if any("popen_loky" in word for word in c.cmdline())]


def assert_same_sweep(runs: Path, whole: Path) -> None:
    assert {p.name for p in runs.iterdir()} == {p.name for p in whole.iterdir()}
    for folder in runs.iterdir():
        assert RunFolder(folder).read_manifest()["state"] == "finished"
        assert_same_end(folder, whole / folder.name)


@pytest.mark.slow
def test_a_killed_parent_killed_workers_ctrl_c_and_two_sweeps_at_once(tmp_path, cache):
    whole = Sweep(tmp_path / "whole", cache, *SIX)
    status, errors = whole.end()
    assert status == 0, errors

    lost = Sweep(tmp_path, cache, *SIX)
    lost.until_saved(2)
    workers = workers_of(lost)
    lost.process.kill()
    # The workers hold the pipe: this returns when they are gone.
    lost.process.communicate(timeout=60)
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive, "workers outlived their sweep"

    before = slowness()
    stopped = Sweep(tmp_path, cache, *SIX)
    for count in (3, 4):
        stopped.until_saved(count)
        workers_of(stopped)[0].kill()
    stopped.until_saved(5)
    with within(10, before):
        os.killpg(stopped.process.pid, signal.SIGINT)
        status, errors = stopped.end()
    assert status == 128 + signal.SIGINT
    assert errors.count("warning: a worker process died") == 2
    assert "runs are finished; the same command goes on with the others" in errors

    resumed = {run: len(found["resumed"]) for run, found in stopped.manifests().items()}
    for sweep in [Sweep(tmp_path, cache, *SIX) for _ in range(2)]:
        status, errors = sweep.end()
        assert status == 0, errors
    assert len(list(whole.runs.iterdir())) == 6
    assert_same_sweep(stopped.runs, whole.runs)
    after = {run: len(found["resumed"]) for run, found in stopped.manifests().items()}
    # The first to see to a run goes on where it was saved; the other one leaves it alone.
    assert max(after[run] - resumed.get(run, 0) for run in after) == 1


def test_a_failing_run_leaves_the_others_alone(cli, tmp_path):
    sweep, runs = ("-m", "model.depth=8", "seed=0,1"), tmp_path / "runs"
    assert cli(*sweep, "experiment_name=whole").returncode == 0
    broken = next((runs / "whole").glob("*-s1-*")).name
    # A folder where a file belongs: this run cannot read its state, the others can.
    (runs / "sweep" / broken / "checkpoint.new").mkdir(parents=True)
    done = cli(*sweep, "experiment_name=sweep")
    assert done.returncode == 1
    assert f"failed: {runs / 'sweep' / broken}" in done.stderr
    assert "1 of 2 runs are not finished; the same command goes on with them" in done.stderr
    assert "CheckpointError" in done.stderr
    assert "CheckpointError" in (runs / "sweep" / broken / "failure.txt").read_text()
    (runs / "sweep" / broken / "checkpoint.new").rmdir()
    done = cli(*sweep, "experiment_name=sweep")
    assert done.returncode == 0
    assert "1 finished, 1 to train" in done.stderr
    assert_same_sweep(runs / "sweep", runs / "whole")

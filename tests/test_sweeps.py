"""Sweeps that lose workers, their parent, or one of their runs."""

import os
import signal

import psutil
import pytest

from tests.comparison import assert_same_end
from tests.started import Sweep

pytestmark = pytest.mark.slow
SIX = (
    *("model=plain,residual", "model.depth=8,14,20", "schedule.iterations=300"),
    *("schedule.milestones=[150]", "schedule.eval_every=100", "checkpoint.every=10"),
)


def workers_of(sweep: Sweep) -> list[psutil.Process]:
    # A zombie, as one that was just killed, has no command line.
    processes = psutil.process_iter(["ppid", "cmdline"])
    ours = [p for p in processes if p.info["ppid"] == sweep.process.pid]
    return [p for p in ours if "popen_loky" in " ".join(p.info["cmdline"] or ())]


def test_a_killed_parent_killed_workers_ctrl_c_and_two_sweeps_at_once(tmp_path, cache):
    whole = Sweep(tmp_path / "whole", cache, *SIX)
    whole.end(0)

    lost = Sweep(tmp_path, cache, *SIX)
    lost.until_saved(2)
    workers = workers_of(lost)
    lost.process.kill()
    # The workers hold the pipe: this returns when they are gone.
    lost.process.communicate(timeout=60)
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive, "workers outlived their sweep"

    stopped = Sweep(tmp_path, cache, *SIX)
    for count in (3, 4):
        stopped.until_saved(count)
        workers_of(stopped)[0].kill()
    stopped.until_saved(5)
    os.killpg(stopped.process.pid, signal.SIGINT)
    errors = stopped.end(128 + signal.SIGINT)
    assert errors.count("warning: a worker process died") == 2
    assert "runs are finished; type the same command again to continue" in errors

    resumed = {run: len(found["resumed"]) for run, found in stopped.manifests().items()}
    for sweep in [Sweep(tmp_path, cache, *SIX) for _ in range(2)]:
        sweep.end(0)
    found = stopped.manifests()
    assert len(found) == 6
    assert found.keys() == whole.manifests().keys()
    for run, manifest in found.items():
        assert manifest["state"] == "finished"
        assert_same_end(stopped.runs / run, whole.runs / run)
    # The first to see to a run goes on where it was saved; the other one leaves it alone.
    assert max(len(found[run]["resumed"]) - resumed.get(run, 0) for run in found) == 1


def test_a_failing_run_leaves_the_others_alone(cli, tmp_path):
    sweep = ("-m", "model.depth=8", "seed=0,1")
    assert cli(*sweep, "experiment_name=whole").returncode == 0
    (whole,) = tmp_path.glob("runs/whole/*-s1-*")
    broken = tmp_path / "runs" / "default" / whole.name
    # A folder where a file belongs: this run cannot read its state, the others can.
    (broken / "checkpoint.new").mkdir(parents=True)
    done = cli(*sweep)
    assert done.returncode == 1
    assert f"failed: {broken}" in done.stderr
    assert "1 of 2 runs are not finished; type the same command again to retry" in done.stderr
    assert "CheckpointError" in done.stderr
    assert "CheckpointError" in (broken / "failure.txt").read_text()
    (broken / "checkpoint.new").rmdir()
    done = cli(*sweep)
    assert done.returncode == 0
    assert "1 finished, 1 to train" in done.stderr

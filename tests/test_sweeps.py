"""Sweeps that lose workers, their parent, or one of their runs."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.comparison import assert_same_end
from tests.started import Sweep

pytestmark = pytest.mark.slow
DIED = "warning: a worker process died"
SIX = (
    *("model=plain,residual", "model.depth=8,14,20", "schedule.iterations=300"),
    *("schedule.milestones=[150]", "schedule.eval_every=100", "checkpoint.every=10"),
)


def workers_of(sweep: Sweep) -> list[psutil.Process]:
    # A zombie, as one that was just killed, has no command line.
    processes = psutil.process_iter(["ppid", "cmdline"])
    ours = [p for p in processes if p.info["ppid"] == sweep.process.pid]
    return [p for p in ours if "popen_loky" in " ".join(p.info["cmdline"] or ())]


def kill_worker(sweep: Sweep) -> None:
    """Kills a worker once there is one, and waits until its sweep has noticed."""
    deaths = sweep.errors.count(DIED)
    sweep.until(lambda: workers_of(sweep))
    workers_of(sweep)[0].kill()
    # A second death in the same pool, or one before Ctrl-C is seen, would not be another warning.
    sweep.until(lambda: sweep.errors.count(DIED) > deaths)


@pytest.fixture
def sweep(tmp_path, cache):
    """Starts a sweep of six runs; none of them outlives a test that fails."""
    started = []

    def start(folder: Path = tmp_path) -> Sweep:
        started.append(Sweep(folder, cache, *SIX))
        return started[-1]

    yield start
    for one in started:
        one.kill()


def test_a_killed_parent_killed_workers_ctrl_c_and_two_sweeps_at_once(sweep, tmp_path):
    whole = sweep(tmp_path / "whole")
    whole.end(0)

    lost = sweep()
    lost.until_saved(2)
    workers = workers_of(lost)
    lost.kill()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive, "workers outlived their sweep"

    stopped = sweep()
    for count in (3, 4):
        stopped.until_saved(count)
        kill_worker(stopped)
    stopped.until_saved(5)
    os.killpg(stopped.process.pid, signal.SIGINT)
    errors = stopped.end(128 + signal.SIGINT)
    assert errors.count(DIED) == 2
    assert "runs are finished; type the same command again to continue" in errors

    resumed = {run: len(found["resumed"]) for run, found in stopped.manifests().items()}
    for one in [sweep(), sweep()]:
        one.end(0)
    found = stopped.manifests()
    assert len(found) == 6
    assert found.keys() == whole.manifests().keys()
    for run, manifest in found.items():
        assert manifest["state"] == "finished"
        assert_same_end(stopped.runs / run, whole.runs / run)
    # The first to see to a run goes on where it was saved; the other one leaves it alone.
    assert max(len(found[run]["resumed"]) - resumed.get(run, 0) for run in found) == 1


def test_a_worker_that_somebody_stops_stops_no_other_run(sweep):
    one = sweep()
    one.until_saved(1)
    workers_of(one)[0].terminate()
    assert "not finished" not in one.end(0)
    assert {manifest["state"] for manifest in one.manifests().values()} == {"finished"}


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

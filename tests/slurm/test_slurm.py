"""Sweeps on a real Slurm: runs that are preempted, killed, cancelled, or fail."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from resnet_study.experiment import run
from resnet_study.interruption import StopRequest
from resnet_study.runs import RunFolder
from tests.comparison import CHECKOUT, assert_same_end, hear_ctrl_c
from tests.conftest import TINY

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

SHORT = ("schedule.iterations=60", "schedule.milestones=[30]", "checkpoint.every=20")
LONG = ("schedule.iterations=2500", "schedule.milestones=[1500]", "checkpoint.every=100")


class Sweep:
    """A sweep that submits to Slurm."""

    def __init__(self, cluster, folder: Path, cache: Path, *arguments: str) -> None:
        self.cluster = cluster
        self.runs = folder / "sweep"
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "resnet_study", "-m", *TINY, "model.depth=8"),
                *("schedule.eval_every=1000", "schedule.log_every=10", f"data.cache={cache}"),
                *(f"runs_dir={folder}", "experiment_name=sweep", "launcher=slurm"),
                # The node knows nothing of its memory; ten minutes or less are all time-out.
                *("hydra.launcher.mem_gb=null", "hydra.launcher.timeout_min=5"),
                *("hydra.launcher.signal_delay_s=30", *arguments),
            ],
            cwd=CHECKOUT,
            env=cluster.environment,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=hear_ctrl_c,
        )

    def end(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=240)
        assert "Traceback" not in errors, errors
        return self.process.returncode, errors

    @property
    def jobs(self) -> dict[str, str]:
        return json.loads((self.runs / ".submitit" / "jobs.json").read_text())

    def until(self, ready) -> None:
        deadline = time.monotonic() + 120
        while not ready():
            assert time.monotonic() < deadline
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.05)

    def restarts(self, run_id: str) -> int:
        shown = self.cluster.call("scontrol", "show", "job", self.jobs[run_id])
        (word,) = (word for word in shown.split() if word.startswith("Restarts="))
        return int(word.removeprefix("Restarts="))


@pytest.fixture
def sweep(cluster, tmp_path, cache):
    started = []

    def start(*arguments: str) -> Sweep:
        started.append(Sweep(cluster, tmp_path, cache, *arguments))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()
    cluster.call("scancel", "--user=root")


def ids(folder: Path, count: int) -> list[str]:
    found = sorted(path.name for path in folder.glob("*-s*"))
    assert len(found) == count
    return found


def saved(runs: Path) -> list[str]:
    return sorted(path.parent.name for path in runs.glob("*/checkpoint.pt"))


def manifest(runs: Path, run_id: str) -> dict:
    return RunFolder(runs / run_id).read_manifest()


def assert_undisturbed_end(runs: Path, run_id: str) -> None:
    """The run has the end that it has in one piece, in this process."""
    config = replace(RunFolder(runs / run_id).read_config(), experiment_name="whole")
    with StopRequest() as stop:
        assert_same_end(runs / run_id, run(config, stop=stop).folder)


def test_six_runs_on_two_processors(sweep, cluster):
    command = ("model=plain,residual", "seed=0,1,2", *SHORT)
    one = sweep(*command, "hydra.launcher.array_parallelism=2")
    status, errors = one.end()
    assert status == 0, errors
    assert "6 runs in" in errors
    for run_id in ids(one.runs, 6):
        assert manifest(one.runs, run_id)["threads"] == 1
        assert_undisturbed_end(one.runs, run_id)
    arrays = Counter(job.partition("_")[0] for job in one.jobs.values())
    # Of at most MaxArraySize - 1 jobs each.
    assert sorted(arrays.values()) == [2, 4]
    shown = cluster.call("scontrol", "show", "job", max(arrays, key=int))
    # What was one while the first array had a job left.
    assert "ArrayTaskThrottle=2" in shown
    # Nothing is submitted for what is finished.
    before = one.jobs
    status, errors = sweep(*command).end()
    assert status == 0
    assert "6 finished, 0 to train" in errors
    assert one.jobs == before


def test_a_run_that_is_requeued_left_by_its_sweep_preempted_and_joined(sweep, cluster):
    command = (*LONG, "schedule.iterations=8000", "checkpoint.every=100000")
    one = sweep(*command)
    one.until(lambda: [p for p in one.runs.glob("*/metrics.csv") if len(p.read_text()) > 500])
    (run_id,) = ids(one.runs, 1)
    job = one.jobs[run_id]
    # What Slurm sends before the time limit: the job has itself requeued.
    cluster.call("scancel", "--signal=USR2", job, check=True)
    one.until(lambda: manifest(one.runs, run_id)["resumed"])
    one.process.send_signal(signal.SIGINT)
    status, errors = one.end()
    assert status == 128 + signal.SIGINT
    assert f"scancel {job.partition('_')[0]} ends them" in errors
    # More urgent work takes both processors: Slurm sends SIGTERM, and requeues the job.
    cluster.call(
        "sbatch", "--partition=urgent", "--ntasks=2", "--output=/dev/null", "--wrap=sleep 1",
        check=True,
    )  # fmt: skip
    again = sweep(*command)
    status, errors = again.end()
    assert status == 0, errors
    assert "1 runs are in Slurm's queue already" in errors
    assert again.jobs == {run_id: job}
    assert again.restarts(run_id) == 2
    first, second = (entry["iteration"] for entry in manifest(one.runs, run_id)["resumed"])
    # At the iterations at which the signals came: there is no other checkpoint.
    assert 0 < first < second < 8000
    assert_undisturbed_end(one.runs, run_id)


def test_what_is_killed_cancelled_or_fails_leaves_the_others_unharmed(sweep, cluster):
    scout = sweep("seed=2", *LONG)
    scout.until(lambda: saved(scout.runs))
    (failing,) = ids(scout.runs, 1)
    cluster.call("scancel", scout.jobs[failing])
    status, errors = scout.end()
    assert status == 1
    assert "CANCELLED" in errors
    assert scout.restarts(failing) == 0, "what a user cancels must not come back"
    # A folder where a file belongs: this run cannot read its state, the others can.
    for file in (scout.runs / failing).glob("checkpoint*"):
        file.unlink()
    (scout.runs / failing / "checkpoint.new").mkdir()

    one = sweep("seed=0,1,2,3", *LONG)
    one.until(lambda: len(saved(one.runs)) >= 2)
    killed, unharmed = saved(one.runs)[:2]
    array, _, task = one.jobs[killed].partition("_")
    ours = {"SLURM_ARRAY_JOB_ID": array, "SLURM_ARRAY_TASK_ID": task}
    for process in psutil.process_iter(["cmdline", "environ"]):
        words, environment = process.info["cmdline"] or [], process.info["environ"] or {}
        trains = "submitit.core._submit" in words and "srun" not in words[0]
        if trains and ours.items() <= environment.items():
            process.kill()
    status, errors = one.end()
    assert status == 1
    assert "2 of 4 runs are not finished; the same command goes on with them" in errors
    assert f"failed: {one.runs / failing}" in errors
    assert f"not finished: {one.runs / killed}" in errors
    assert manifest(one.runs, unharmed)["state"] == "finished"
    ended = manifest(one.runs, unharmed)["ended"]

    (one.runs / failing / "checkpoint.new").rmdir()
    status, errors = sweep("seed=0,1,2,3", *LONG).end()
    assert status == 0, errors
    assert "2 finished, 2 to train" in errors
    assert manifest(one.runs, killed)["resumed"]
    assert manifest(one.runs, unharmed)["ended"] == ended
    for run_id in ids(one.runs, 4):
        assert manifest(one.runs, run_id)["state"] == "finished"
    assert_undisturbed_end(one.runs, killed)

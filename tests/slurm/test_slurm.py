"""Sweeps on a real Slurm: runs that are preempted, killed, cancelled, or fail."""

import json
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from resnet_study.experiment import run
from resnet_study.store.folder import RunFolder
from resnet_study.system.interruption import StopRequest
from tests.comparison import assert_same_end
from tests.started import Sweep

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

# The node knows nothing of its memory; ten minutes or less are all time-out.
SETTINGS = (
    *("launcher=slurm", "hydra.launcher.mem_gb=null", "hydra.launcher.timeout_min=5"),
    *("hydra.launcher.signal_delay_s=30", "model.depth=8", "schedule.eval_every=1000"),
)
SHORT = ("schedule.iterations=60", "schedule.milestones=[30]", "checkpoint.every=20")
LONG = ("schedule.iterations=2500", "schedule.milestones=[1500]", "checkpoint.every=100")


class SlurmSweep(Sweep):
    """A sweep that submits to Slurm."""

    @property
    def jobs(self) -> dict[str, str]:
        jobs = json.loads((self.runs / ".submitit" / "jobs.json").read_text())
        return {Path(folder).name: job for folder, job in jobs.items()}

    def assert_undisturbed_end(self, run_id: str) -> None:
        """The run has the end that it has in one piece, in this process."""
        config = replace(RunFolder(self.runs / run_id).read_config(), experiment_name="whole")
        with StopRequest() as stop:
            assert_same_end(self.runs / run_id, run(config, stop=stop).folder)


@pytest.fixture
def sweep(cluster, tmp_path, cache):
    started = []

    def start(*arguments: str) -> SlurmSweep:
        words = (*SETTINGS, *arguments)
        started.append(SlurmSweep(tmp_path, cache, *words, environment=cluster.environment))
        return started[-1]

    yield start
    for one in started:
        one.kill()
    cluster.call("scancel", "--user=root")


def test_six_runs_on_two_processors(sweep, cluster):
    command = ("model=plain,residual", "seed=0,1,2", *SHORT)
    one = sweep(*command, "hydra.launcher.array_parallelism=2")
    errors = one.end(0)
    assert "6 runs in" in errors
    assert len(one.manifests()) == 6
    for run_id, manifest in one.manifests().items():
        assert manifest["threads"] == 1
        one.assert_undisturbed_end(run_id)
    arrays = Counter(job.partition("_")[0] for job in one.jobs.values())
    # Of at most MaxArraySize - 1 jobs each.
    assert sorted(arrays.values()) == [2, 4]
    shown = cluster.call("scontrol", "show", "job", max(arrays, key=int))
    # What was one while the first array had a job left.
    assert "ArrayTaskThrottle=2" in shown
    # Nothing is submitted for what is finished.
    before = one.jobs
    errors = sweep(*command).end(0)
    assert "6 finished, 0 to train" in errors
    assert one.jobs == before


def test_a_run_that_is_requeued_left_by_its_sweep_preempted_and_joined(sweep, cluster):
    command = (*LONG, "schedule.iterations=8000", "checkpoint.every=100000")
    one = sweep(*command)
    one.until(lambda: [p for p in one.runs.glob("*/metrics.csv") if len(p.read_text()) > 500])
    (run_id,) = one.manifests()
    job = one.jobs[run_id]
    # What Slurm sends before the time limit: the job has itself requeued.
    cluster.call("scancel", "--signal=USR2", job, check=True)
    one.until(lambda: one.manifests()[run_id]["resumed"])
    one.process.send_signal(signal.SIGINT)
    errors = one.end(128 + signal.SIGINT)
    assert f"scancel {job.partition('_')[0]} ends them" in errors
    # More urgent work takes both processors: Slurm sends SIGTERM, and requeues the job.
    urgent = ("--partition=urgent", "--ntasks=2", "--output=/dev/null", "--wrap=sleep 1")
    cluster.call("sbatch", *urgent, check=True)
    again = sweep(*command)
    errors = again.end(0)
    assert "1 runs are in Slurm's queue already" in errors
    assert again.jobs == {run_id: job}
    assert cluster.restarts(job) == 2
    first, second = (entry["iteration"] for entry in one.manifests()[run_id]["resumed"])
    # At the iterations at which the signals came: there is no other checkpoint.
    assert 0 < first < second < 8000
    one.assert_undisturbed_end(run_id)


def test_what_is_killed_cancelled_or_fails_leaves_the_others_unharmed(sweep, cluster):
    scout = sweep("seed=2", *LONG)
    (failing,) = scout.until_saved(1)
    cluster.call("scancel", scout.jobs[failing])
    errors = scout.end(1)
    assert "CANCELLED" in errors
    assert cluster.restarts(scout.jobs[failing]) == 0, "what a user cancels must not come back"
    # A folder where a file belongs: this run cannot read its state, the others can.
    for file in (scout.runs / failing).glob("checkpoint*"):
        file.unlink()
    (scout.runs / failing / "checkpoint.new").mkdir()

    one = sweep("seed=0,1,2,3", *LONG)
    killed, unharmed = one.until_saved(2)[:2]
    array, _, task = one.jobs[killed].partition("_")
    ours = {"SLURM_ARRAY_JOB_ID": array, "SLURM_ARRAY_TASK_ID": task}.items()
    for process in psutil.process_iter(["cmdline", "environ"]):
        words, environment = process.info["cmdline"] or [], process.info["environ"] or {}
        trains = "submitit.core._submit" in words and "srun" not in words[0]
        if trains and ours <= environment.items():
            process.kill()
    errors = one.end(1)
    assert "2 of 4 runs are not finished; type the same command again to retry" in errors
    assert f"failed: {one.runs / failing}" in errors
    assert f"not finished: {one.runs / killed}" in errors
    assert one.manifests()[unharmed]["state"] == "finished"
    ended = one.manifests()[unharmed]["ended"]

    (one.runs / failing / "checkpoint.new").rmdir()
    errors = sweep("seed=0,1,2,3", *LONG).end(0)
    assert "2 finished, 2 to train" in errors
    assert one.manifests()[killed]["resumed"]
    assert one.manifests()[unharmed]["ended"] == ended
    assert [m["state"] for m in one.manifests().values()] == ["finished"] * 4
    one.assert_undisturbed_end(killed)

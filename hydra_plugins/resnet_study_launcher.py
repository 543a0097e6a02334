"""Launchers on submitit: a Slurm cluster, or processes of this machine that survive a crash.

They differ from submitit's own in what a long sweep needs: one dead job does not end the
others, jobs that are in the queue already are waited for rather than submitted again, and a
run that is asked to stop has saved its state before its job is requeued.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus

from resnet_study.errors import StorageError, StudyError
from resnet_study.files import write_text
from resnet_study.interruption import StopRequest

if TYPE_CHECKING:
    from submitit import AutoExecutor, Job

_POLL, _LOOK = 0.5, 0.005
# Between the end of a job and its result's being seen a network file system may take its time.
_GRACE = 5.0
# Slurm's own default, less one.
_LARGEST_ARRAY = 1000


class SubmititLauncher:
    """What both launchers share; mixed into submitit's, which sets the attributes.

    Attributes:
        params: Settings of the launcher, as in conf/hydra/launcher.
        config: Hydra's whole config.
        elsewhere: Whether runs are trained on other machines than this one.
    """

    _EXECUTOR: str
    params: dict[str, Any]
    config: Any
    elsewhere = False

    def __call__(self, *arguments: Any) -> Any:
        """Carries out a run, in its job; requeues the job if it was asked to stop."""
        # The run takes the signals over until its state is saved.
        requeue = signal.getsignal(signal.SIGUSR2)
        result = super().__call__(*arguments)  # type: ignore[misc]
        outcome = str(result.return_value)
        if outcome.startswith(("interrupted", "left")):
            number = signal.Signals[outcome.partition(": ")[2]]
            if number == signal.SIGUSR2 or self._only_signalled(number):
                assert callable(requeue)
                requeue(number, None)
            self._leave(number)
        # The configs of a result are large, and nobody reads them.
        result.cfg = result.hydra_cfg = None
        return result

    def _only_signalled(self, number: signal.Signals) -> bool:
        """Whether a job that has got a signal other than SIGUSR2 should be requeued by itself."""
        raise NotImplementedError

    def _leave(self, number: signal.Signals) -> None:
        """Ends a job that was stopped and is not to be requeued by itself."""

    def launch(
        self,
        job_overrides: Sequence[Sequence[str]],
        initial_job_idx: int,  # noqa: ARG002 - Hydra's
    ) -> Sequence[JobReturn]:
        """Runs the jobs and returns when all have ended, or a stop was requested."""
        runs = {_run_id(overrides): list(overrides) for overrides in job_overrides}
        outcomes: dict[str, str] = {}
        try:
            self._run(runs, outcomes)
        except StudyError:
            raise
        except (OSError, RuntimeError, ValueError) as error:
            # submitit hands on what sbatch says as the cause, or in many lines.
            words = [w for w in str(error).splitlines() if w.strip()] or [type(error).__name__]
            told = [w for w in words if "error:" in w] or words
            raise StudyError("hydra/launcher", self._EXECUTOR, told[-1].strip()) from error
        return [
            JobReturn(status=JobStatus.COMPLETED, _return_value=outcomes.get(run, "left"))
            for run in runs
        ]

    def _run(self, runs: dict[str, list[str]], outcomes: dict[str, str]) -> None:
        waiting = self._joined(runs)
        batches = self._batches([run for run in runs if run not in waiting])
        executor, ended = self._executor(), dict[str, float]()
        more = True
        while waiting or more:
            while more and not _stopped() and self._has_room(len(waiting)):
                batch = next(batches, [])
                more = bool(batch)
                if batch:
                    waiting |= self._submit(executor, batch, [runs[run] for run in batch])
            for run, job in list(waiting.items()):
                outcome = _outcome(job, ended)
                if outcome is not None:
                    outcomes[run] = outcome
                    del waiting[run]
            if _stopped():
                more = False
                if self.elsewhere and waiting:
                    self._take_leave(waiting)
                    return
            if waiting:
                # A look at a job is a question to the file system, perhaps over a network.
                time.sleep(max(_POLL, _LOOK * len(waiting)))

    def _joined(self, runs: dict[str, list[str]]) -> dict[str, Job[Any]]:  # noqa: ARG002
        """Jobs of an earlier sweep that are in the queue, by run."""
        return {}

    def _batches(self, runs: list[str]) -> Iterator[list[str]]:
        """The runs in the portions in which they are submitted."""
        raise NotImplementedError

    def _has_room(self, waiting: int) -> bool:
        """Whether the next portion may be submitted now."""
        raise NotImplementedError

    def _take_leave(self, waiting: dict[str, Job[Any]]) -> None:
        """Says what becomes of the jobs that go on."""

    def _executor(self) -> AutoExecutor:
        import submitit
        from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
        from omegaconf import OmegaConf

        params = {key: value for key, value in self.params.items() if value is not None}
        kind, shared = self._EXECUTOR, set(OmegaConf.structured(BaseQueueConf))
        executor = submitit.AutoExecutor(
            cluster=kind,
            folder=params.pop("submitit_folder"),
            **{f"{kind}_max_num_timeout": params.pop("max_num_timeout")},
        )
        if kind == "local":
            del params["array_parallelism"]
        named = {key if key in shared else f"{kind}_{key}": value for key, value in params.items()}
        executor.update_parameters(**named)
        return executor

    def _submit(
        self, executor: AutoExecutor, runs: list[str], overrides: list[list[str]]
    ) -> dict[str, Job[Any]]:
        state = Singleton.get_state()
        count = len(runs)
        jobs = executor.map_array(
            self, overrides, ["hydra.sweep.dir"] * count, range(count), runs, [state] * count
        )
        return dict(zip(runs, jobs, strict=True))


class SlurmJobs(SubmititLauncher):
    """Each run a job of a Slurm array."""

    elsewhere = True

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """As in `SubmititLauncher`."""
        if missing := [name for name in ("sbatch", "squeue") if shutil.which(name) is None]:
            raise StudyError(
                "hydra/launcher",
                "slurm",
                f"{missing[0]} is not found here; allowed are local, slurm_local, or a machine "
                "that submits to Slurm",
            )
        return super().launch(job_overrides, initial_job_idx)

    def _only_signalled(self, number: signal.Signals) -> bool:  # noqa: ARG002
        """Whether Slurm goes on with this job: then it is for us to have it requeued.

        A job that Slurm is ending has left the state RUNNING. Where it is preempted Slurm
        requeues it; where the user cancels it nobody must.
        """
        job = os.environ["SLURM_JOB_ID"]
        return _slurm("squeue", "--noheader", f"--jobs={job}", "--format=%T") == "RUNNING"

    def _leave(self, number: signal.Signals) -> None:
        # Without a result: a preempted job comes back, and what it then returns counts.
        raise SystemExit(128 + number)

    @property
    def _record(self) -> Path:
        return Path(str(self.config.hydra.sweep.dir)) / ".submitit" / "jobs.json"

    def _submitted(self) -> dict[str, str]:
        """Job ids of an earlier sweep on this folder, by run."""
        try:
            jobs = json.loads(self._record.read_text(encoding="utf-8"))
            return {str(run): str(job) for run, job in jobs.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError) as error:
            raise StorageError(
                "jobs", self._record, "cannot be read; cancel its jobs in Slurm and delete it"
            ) from error

    def _joined(self, runs: dict[str, list[str]]) -> dict[str, Job[Any]]:
        submitted = {run: job for run, job in self._submitted().items() if run in runs}
        if not submitted:
            return {}
        import submitit

        listed = _slurm("squeue", "--noheader", "--me", "--array", "--format=%i %j").splitlines()
        alive = {line.partition(" ")[0] for line in listed if line.endswith(self.params["name"])}
        joined: dict[str, Job[Any]] = {
            run: submitit.SlurmJob(self.params["submitit_folder"], job)
            for run, job in submitted.items()
            if job in alive
        }
        if joined:
            print(f"{len(joined)} runs are in Slurm's queue already", file=sys.stderr)
        return joined

    def _batches(self, runs: list[str]) -> Iterator[list[str]]:
        settings = _slurm("scontrol", "show", "config").splitlines() if runs else []
        largest = _LARGEST_ARRAY
        for name, _, value in (line.partition("=") for line in settings):
            if name.strip() == "MaxArraySize" and value.strip().isdecimal():
                largest = max(1, int(value) - 1)
        return _portions(runs, largest)

    def _has_room(self, waiting: int) -> bool:
        # Each array has its own cap, so that a second one waits for the end of the first.
        return not waiting

    def _submit(
        self, executor: AutoExecutor, runs: list[str], overrides: list[list[str]]
    ) -> dict[str, Job[Any]]:
        jobs = super()._submit(executor, runs, overrides)
        ids = {run: job.job_id for run, job in jobs.items()}
        write_text(self._record, json.dumps(self._submitted() | ids, indent=0) + "\n")
        return jobs

    def _take_leave(self, waiting: dict[str, Job[Any]]) -> None:
        arrays = sorted({job.job_id.partition("_")[0] for job in waiting.values()}, key=int)
        print(
            f"{len(waiting)} runs stay in Slurm's queue; the same command waits for them again, "
            f"scancel {' '.join(arrays)} ends them",
            file=sys.stderr,
        )


class LocalJobs(SubmititLauncher):
    """Each run a process of this machine, so many at a time."""

    def _only_signalled(self, number: signal.Signals) -> bool:  # noqa: ARG002
        return False

    def _batches(self, runs: list[str]) -> Iterator[list[str]]:
        return ([run] for run in runs)

    def _has_room(self, waiting: int) -> bool:
        return waiting < int(self.params["array_parallelism"])


def _portions(runs: list[str], size: int) -> Iterator[list[str]]:
    return (runs[first : first + size] for first in range(0, len(runs), size))


def _stopped() -> bool:
    return StopRequest.active is not None and StopRequest.active.requested


def _run_id(overrides: Sequence[str]) -> str:
    """The run that the sweeper has named as the job's folder."""
    (subdir,) = (word for word in overrides if word.startswith("hydra.sweep.subdir="))
    return subdir.partition("=")[2]


def _slurm(*command: str) -> str:
    """What a command of Slurm prints; nothing where it fails."""
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout.strip()
    return ""


def _outcome(job: Job[Any], ended: dict[str, float]) -> str | None:
    """What a job has returned, or how it ended without; None while it goes on.

    Args:
        job: The job.
        ended: When each job was first seen to be over; kept here.
    """
    import submitit

    if not job.done():
        # Requeued after all.
        ended.pop(job.job_id, None)
        return None
    if job.paths.result_pickle.exists():
        try:
            return str(job.result().return_value)
        except submitit.core.utils.UncompletedJobError as error:
            words = str(error)
            reason = words.partition("Job not requeued because: ")[2].partition("\n")[0]
            return f"failed: job {job.job_id}: {reason or _last_words(words)}"
    if time.monotonic() - ended.setdefault(job.job_id, time.monotonic()) < _GRACE:
        return None
    words = _last_words(job.stderr() or "")
    return f"failed: job {job.job_id} has ended ({job.state}){f': {words}' if words else ''}"


def _last_words(log: str) -> str:
    """The last line of a log that says what went wrong, if one does."""
    lines = [line.strip() for line in log.splitlines() if line.strip(" -")]
    told = [line for line in lines if "rror" in line]
    return (told or lines or [""])[-1]


with suppress(ImportError):  # The optional extra "slurm".
    from hydra_plugins.hydra_submitit_launcher.config import LocalQueueConf, SlurmQueueConf
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import (
        LocalLauncher,
        SlurmLauncher,
    )
    from omegaconf import OmegaConf

    class StudySlurm(SlurmJobs, SlurmLauncher):  # type: ignore[misc]
        """Slurm."""

    class StudyLocal(LocalJobs, LocalLauncher):  # type: ignore[misc]
        """Processes of this machine."""

    _local = OmegaConf.structured(LocalQueueConf(_target_=f"{__name__}.StudyLocal"))
    OmegaConf.set_struct(_local, False)
    _local.update({"array_parallelism": -1, "max_num_timeout": 0})
    _slurm_node = SlurmQueueConf(_target_=f"{__name__}.StudySlurm")
    for _name, _node in (("study_slurm", _slurm_node), ("study_local", _local)):
        ConfigStore.instance().store(
            group="hydra/launcher", name=_name, node=_node, provider="resnet_study"
        )

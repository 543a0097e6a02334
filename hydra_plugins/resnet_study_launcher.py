"""Launcher for a Slurm cluster, built on submitit's: each run is a job of an array.

It differs from submitit's own in what a long sweep needs. One dead job does not end the others.
Jobs that are in the queue already are waited for, not submitted again. A run that is asked to
stop saves its state before its job is requeued.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from omegaconf import OmegaConf

from resnet_study.cli import as_result, error_of, register
from resnet_study.sweep import job_folder
from resnet_study.system import slurm
from resnet_study.system.errors import StudyError, say
from resnet_study.system.interruption import NotDone, StopRequest, shielded_children
from resnet_study.system.slurm import Submitted

if TYPE_CHECKING:
    from submitit import Job

# Seconds between two polls for results: the minimum, and what each waiting job adds, since each
# poll asks the file system, perhaps over a network, about every job.
_POLL, _POLL_PER_JOB = 0.5, 0.005
# Seconds between two queries to Slurm: at first, and later for jobs that take long.
_ASK_FIRST, _ASK_LATER = 2.0, 30.0
# Seconds without a running job after which the user is told why.
_PATIENCE = 60.0
# Consecutive answers from Slurm without a job before it counts as ended: on a network file system
# its result may appear late.
_ABSENCES = 3


class SlurmJobs:
    """Submits runs and waits for them; a mixin for submitit's launcher, which sets `params`.

    Attributes:
        params: Settings, as in conf/hydra/launcher/slurm.yaml.
        config: Hydra's whole config.
        elsewhere: Whether other machines than this one train the runs.
    """

    params: dict[str, Any]
    config: Any
    elsewhere = True

    def __call__(self, *arguments: Any) -> Any:
        """Trains a run inside its job; requeues the job if it was asked to stop."""
        # submitit's handler. The run handles the signals itself until its state is saved.
        requeue = signal.getsignal(signal.SIGUSR2)
        result = super().__call__(*arguments)  # type: ignore[misc]
        error = error_of(result)
        if isinstance(error, NotDone) and error.signal_number:
            number = signal.Signals(error.signal_number)
            # A job that Slurm is ending has left the state RUNNING. If it is preempted, Slurm
            # requeues it. If the user cancels it, nobody may requeue it.
            if number == signal.SIGUSR2 or slurm.state(os.environ["SLURM_JOB_ID"]) == "RUNNING":
                assert callable(requeue)
                requeue(number, None)
            # There is no result yet: a preempted job comes back and returns one then.
            raise SystemExit(128 + number)
        # These are large, and nobody reads them.
        result.cfg = result.hydra_cfg = None
        return result

    def launch(
        self,
        job_overrides: Sequence[Sequence[str]],
        initial_job_idx: int,  # noqa: ARG002 - Hydra's
    ) -> Sequence[JobReturn]:
        """Runs the jobs; returns when all have ended, or when a stop is requested."""
        self._check()
        self._largest = slurm.largest_array()
        self._began = self._asked = time.monotonic()
        # How often in a row a job without a result was absent from the queue.
        self._absences: Counter[str] = Counter()
        # Runs whose jobs were ending when this sweep began.
        self._leaving: set[str] = set()
        # When a job was running or the queue was empty, and the reasons that the user was told.
        self._active, self._said = self._began, set[str]()
        # Arrays of which fewer jobs than `_cap` may run at the same time.
        self._throttled: set[str] = set()
        runs = {str(job_folder(words)): list(words) for words in job_overrides}
        outcomes: dict[str, Any] = {}
        waiting = self._joined(runs)
        left = [run for run in runs if run not in waiting]
        while waiting or left:
            # A further array is submitted once at least half of `_cap` is free for it.
            while left and self._cap - len(waiting) >= min(len(left), max(1, self._cap // 2)):
                if _stopped():
                    break
                batch, left = left[: self._largest], left[self._largest :]
                try:
                    waiting |= self._submit({run: runs[run] for run in batch}, len(waiting))
                except StudyError:
                    _say_what_stays(waiting)
                    raise
            for run, outcome in self._ended(waiting).items():
                outcomes[run] = outcome
                del waiting[run]
            if _stopped():
                break
            if waiting:
                time.sleep(max(_POLL, _POLL_PER_JOB * len(waiting)))
        _say_what_stays(waiting)
        return [as_result(outcomes.get(run, NotDone(None))) for run in runs]

    def _check(self) -> None:
        if missing := [name for name in ("sbatch", "squeue") if shutil.which(name) is None]:
            told = f"{missing[0]} is not found here; use local, or a machine that submits to Slurm"
            raise StudyError("hydra/launcher", "slurm", told)
        minutes, delay = int(self.params["timeout_min"]), int(self.params["signal_delay_s"])
        for name, value, rule in (
            ("array_parallelism", self._cap, "must be 1 or more"),
            ("timeout_min", minutes, "must be 1 minute or more"),
            ("signal_delay_s", 60 * minutes - delay, "must be less than timeout_min"),
        ):
            if value < 1:
                raise StudyError(f"hydra.launcher.{name}", self.params[name], rule)

    @property
    def _cap(self) -> int:
        """The number of jobs that may run at the same time."""
        return int(self.params["array_parallelism"])

    @property
    def _submitted(self) -> Submitted:
        return Submitted(Path(str(self.config.hydra.sweep.dir)))

    def _joined(self, runs: dict[str, list[str]]) -> dict[str, Job[Any]]:
        """Returns jobs of an earlier sweep that are still in the queue, by run."""
        submitted = {run: job for run, job in self._submitted.read().items() if run in runs}
        if not submitted:
            return {}
        import submitit

        queue = slurm.queue(self.params["name"])
        if queue is None:
            raise StudyError("hydra/launcher", "slurm", "squeue does not answer; try again later")
        joined: dict[str, Job[Any]] = {
            run: submitit.SlurmJob(self.params["submitit_folder"], job)
            for run, job in submitted.items()
            if job in queue
        }
        # Either they were cancelled, or they will come back; Slurm does not say.
        self._leaving = {run for run in joined if queue[submitted[run]].state == "COMPLETING"}
        if joined:
            say(f"{len(joined)} runs are in Slurm's queue already")
        return joined

    def _submit(self, runs: dict[str, list[str]], waiting: int) -> dict[str, Job[Any]]:
        """Submits an array, while `waiting` other jobs have not ended; returns jobs by run."""
        import submitit
        from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf

        settings = {key: value for key, value in self.params.items() if value is not None}
        settings["array_parallelism"] = self._cap - waiting
        if cpus := settings.get("cpus_per_task"):
            # Not in all versions of Slurm does srun inherit this from sbatch.
            settings["srun_args"] = [f"--cpus-per-task={cpus}"]
        shared = set(OmegaConf.structured(BaseQueueConf))
        state = [Singleton.get_state()] * len(runs)
        try:
            executor = submitit.AutoExecutor(
                cluster="slurm",
                folder=settings.pop("submitit_folder"),
                slurm_max_num_timeout=settings.pop("max_num_timeout"),
            )
            executor.update_parameters(
                **{k if k in shared else f"slurm_{k}": value for k, value in settings.items()}
            )
            columns = (["hydra.sweep.dir"] * len(runs), range(len(runs)), list(runs), state)
            # A submission cut short would leave jobs in the queue that nobody knows of.
            with shielded_children():
                jobs = executor.map_array(self, list(runs.values()), *columns)
                submitted = dict(zip(runs, jobs, strict=True))
                self._submitted.add({run: job.job_id for run, job in submitted.items()})
        except Exception as error:
            # submitit reports in many lines what sbatch said, or what is wrong with settings.
            words = [w for w in str(error).splitlines() if w.strip()] or [type(error).__name__]
            told = [w for w in words if "error:" in w] or words[:1]
            raise StudyError("hydra/launcher", "slurm", told[-1].strip()) from error
        self._throttled |= set(_arrays(submitted) if waiting else ())
        return submitted

    def _ended(self, waiting: dict[str, Job[Any]]) -> dict[str, Any]:
        """Returns the results of jobs that have ended, or how they ended without one, by run."""
        results = {run: slurm.result_of(job) for run, job in waiting.items()}
        ended = {run: result for run, result in results.items() if result is not None}
        now = time.monotonic()
        pause = min(_ASK_LATER, max(_ASK_FIRST, (now - self._began) / 10))
        if len(ended) == len(waiting) or now - self._asked < pause:
            return ended
        self._asked = now
        if (queue := slurm.queue(self.params["name"])) is None:
            return ended
        self._say_why(list(queue.values()))
        newest, *others = reversed(_arrays(waiting))
        if not others and newest in self._throttled:
            slurm.raise_throttle(newest, self._cap)
            self._throttled.remove(newest)
        for run in waiting.keys() - ended.keys():
            job = waiting[run]
            if job.job_id in queue:
                self._absences[job.job_id] = 0
                if queue[job.job_id].state != "COMPLETING":
                    self._leaving.discard(run)
                continue
            self._absences[job.job_id] += 1
            if self._absences[job.job_id] >= _ABSENCES:
                # A run whose job was cancelled before this sweep began is submitted again.
                ended[run] = NotDone(None) if run in self._leaving else slurm.death_of(job)
        return ended

    def _say_why(self, queue: list[slurm.Queued]) -> None:
        """Says, once for each reason, why no job has been running for a minute."""
        if not queue or any(job.state != "PENDING" for job in queue):
            self._active = time.monotonic()
        elif time.monotonic() - self._active > _PATIENCE:
            for reason in {job.reason for job in queue} - self._said:
                say(f"no job is running; Slurm says: {reason}")
                self._said.add(reason)


def _say_what_stays(waiting: dict[str, Job[Any]]) -> None:
    if waiting:
        say(
            f"{len(waiting)} runs stay in Slurm's queue; the same command waits for them again, "
            f"scancel {' '.join(_arrays(waiting))} ends them"
        )


def _stopped() -> bool:
    """Whether the sweep was asked to stop."""
    return StopRequest.active is not None and StopRequest.active.requested


def _arrays(jobs: dict[str, Job[Any]]) -> list[str]:
    """Returns the ids of the arrays of jobs, the oldest first."""
    return sorted({job.job_id.partition("_")[0] for job in jobs.values()}, key=int)


with suppress(ImportError):  # The optional extra "slurm".
    from hydra_plugins.hydra_submitit_launcher.config import SlurmQueueConf
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher

    class StudySlurm(SlurmJobs, SlurmLauncher):  # type: ignore[misc]
        """The launcher that Hydra uses for `hydra/launcher=slurm`."""

    register("hydra/launcher", "study_slurm", SlurmQueueConf(_target_=f"{__name__}.StudySlurm"))

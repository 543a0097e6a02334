"""Launcher of a Slurm cluster, on submitit's: each run is a job of an array.

It differs from submitit's own in what a long sweep needs: one dead job does not end the others,
jobs that are in the queue already are waited for rather than submitted again, and a run that is
asked to stop has saved its state before its job is requeued.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
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
from resnet_study.system.errors import StudyError
from resnet_study.system.interruption import NotDone, StopRequest
from resnet_study.system.slurm import Submitted

if TYPE_CHECKING:
    from submitit import Job

_POLL, _LOOK = 0.5, 0.005
# Seconds between two questions to Slurm: seldom, where jobs take long.
_SOONEST, _LATEST = 2.0, 30.0
_PATIENCE = 60.0


class SlurmJobs:
    """Submits runs and waits for them; mixed into submitit's launcher, which sets the attributes.

    Attributes:
        params: Settings, as in conf/hydra/launcher/slurm.yaml.
        config: Hydra's whole config.
        elsewhere: Whether runs are trained on other machines than this one.
    """

    params: dict[str, Any]
    config: Any
    elsewhere = True

    def __call__(self, *arguments: Any) -> Any:
        """Carries out a run, in its job; requeues the job if it was asked to stop."""
        # The run takes the signals over until its state is saved.
        requeue = signal.getsignal(signal.SIGUSR2)
        result = super().__call__(*arguments)  # type: ignore[misc]
        error = error_of(result)
        if isinstance(error, NotDone) and error.signal_number:
            number = signal.Signals(error.signal_number)
            # A job that Slurm is ending has left the state RUNNING. Where it is preempted Slurm
            # requeues it; where the user cancels it nobody must.
            if number == signal.SIGUSR2 or slurm.state(os.environ["SLURM_JOB_ID"]) == "RUNNING":
                assert callable(requeue)
                requeue(number, None)
            # Without a result: a preempted job comes back, and what it then returns counts.
            raise SystemExit(128 + number)
        # The configs of a result are large, and nobody reads them.
        result.cfg = result.hydra_cfg = None
        return result

    def launch(
        self,
        job_overrides: Sequence[Sequence[str]],
        initial_job_idx: int,  # noqa: ARG002 - Hydra's
    ) -> Sequence[JobReturn]:
        """Runs the jobs and returns when all have ended, or a stop was requested."""
        self._check()
        self._largest = slurm.largest_array()
        self._began = self._asked = time.monotonic()
        # How often a job was not in the queue, of those without a result.
        self._absent: Counter[str] = Counter()
        self._leaving: set[str] = set()
        self._idle, self._said = self._began, set[str]()
        # Jobs that may run at the same time, of each array.
        self._throttles: dict[str, int] = {}
        runs = {str(job_folder(words)): list(words) for words in job_overrides}
        outcomes: dict[str, Any] = {}
        waiting = self._joined(runs)
        left = [run for run in runs if run not in waiting]
        while waiting or left:
            # A second array begins with a good part of what both may have.
            while left and self._cap - len(waiting) >= min(len(left), max(1, self._cap // 2)):
                if _stopped():
                    break
                batch, left = left[: self._largest], left[self._largest :]
                waiting |= self._submit({run: runs[run] for run in batch}, len(waiting))
            for run, outcome in self._ended(waiting).items():
                outcomes[run] = outcome
                del waiting[run]
            if _stopped():
                break
            if waiting:
                # A look at a job is a question to the file system, perhaps over a network.
                time.sleep(max(_POLL, _LOOK * len(waiting)))
        if waiting:
            print(
                f"{len(waiting)} runs stay in Slurm's queue; the same command waits for them "
                f"again, scancel {' '.join(_arrays(waiting))} ends them",
                file=sys.stderr,
            )
        return [as_result(outcomes.get(run, NotDone(None))) for run in runs]

    def _check(self) -> None:
        if missing := [name for name in ("sbatch", "squeue") if shutil.which(name) is None]:
            raise StudyError(
                "hydra/launcher",
                "slurm",
                f"{missing[0]} is not found here; allowed are local, or a machine that submits "
                "to Slurm",
            )
        minutes, delay = int(self.params["timeout_min"]), int(self.params["signal_delay_s"])
        for name, value, allowed in (
            ("array_parallelism", self._cap, "allowed is 1 or more"),
            ("timeout_min", minutes, "allowed is 1 minute or more"),
            ("signal_delay_s", max(0, 60 * minutes - delay), "allowed is less than timeout_min"),
        ):
            if value < 1:
                raise StudyError(f"hydra.launcher.{name}", self.params[name], allowed)

    @property
    def _cap(self) -> int:
        return int(self.params["array_parallelism"])

    @property
    def _submitted(self) -> Submitted:
        return Submitted(Path(str(self.config.hydra.sweep.dir)))

    def _joined(self, runs: dict[str, list[str]]) -> dict[str, Job[Any]]:
        """Jobs of an earlier sweep that are in the queue, by run."""
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
        # They were cancelled, or will come back: who knows.
        self._leaving = {run for run in joined if queue[submitted[run]].state == "COMPLETING"}
        if joined:
            print(f"{len(joined)} runs are in Slurm's queue already", file=sys.stderr)
        return joined

    def _submit(self, runs: dict[str, list[str]], waiting: int) -> dict[str, Job[Any]]:
        """Submits an array, where so many jobs have not ended."""
        import submitit
        from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf

        settings = {key: value for key, value in self.params.items() if value is not None}
        settings["array_parallelism"] = self._cap - waiting
        if cpus := settings.get("cpus_per_task"):
            # Which srun takes over from sbatch in some versions of Slurm, and not in others.
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
            jobs = executor.map_array(self, list(runs.values()), *columns)
        except Exception as error:
            # submitit hands on in many lines what sbatch says, or what it finds in settings.
            words = [w for w in str(error).splitlines() if w.strip()] or [type(error).__name__]
            told = [w for w in words if "error:" in w] or words[:1]
            raise StudyError("hydra/launcher", "slurm", told[-1].strip()) from error
        submitted = dict(zip(runs, jobs, strict=True))
        self._submitted.add({run: job.job_id for run, job in submitted.items()})
        self._throttles |= dict.fromkeys(_arrays(submitted), self._cap - waiting)
        return submitted

    def _ended(self, waiting: dict[str, Job[Any]]) -> dict[str, Any]:
        """What those jobs that have ended returned, or how they ended without, by run."""
        results = {run: slurm.result_of(job) for run, job in waiting.items()}
        ended = {run: result for run, result in results.items() if result is not None}
        now = time.monotonic()
        pause = min(_LATEST, max(_SOONEST, (now - self._began) / 10))
        if len(ended) == len(waiting) or now - self._asked < pause:
            return ended
        self._asked = now
        if (queue := slurm.queue(self.params["name"])) is None:
            return ended
        self._say_why(list(queue.values()))
        newest, *others = reversed(_arrays(waiting))
        if not others and self._throttles.get(newest, self._cap) < self._cap:
            slurm.raise_throttle(newest, self._cap)
            self._throttles[newest] = self._cap
        for run, job in waiting.items():
            if run in ended or job.job_id in queue:
                self._absent.pop(job.job_id, None)
                if job.job_id in queue and queue[job.job_id].state != "COMPLETING":
                    self._leaving.discard(run)
                continue
            self._absent[job.job_id] += 1
            # A result may take its time to be seen, where the file system is a network's.
            if self._absent[job.job_id] > 2:
                state = slurm.state(job.job_id) or "not in the queue"
                # What was being cancelled before this sweep began has to be submitted anew.
                leaves = run in self._leaving
                ended[run] = NotDone(None) if leaves else slurm.death_of(job, state)
        return ended

    def _say_why(self, queue: list[slurm.Queued]) -> None:
        """Says, once for each reason, why nothing has been running for a minute."""
        if not queue or any(job.state != "PENDING" for job in queue):
            self._idle = time.monotonic()
        elif time.monotonic() - self._idle > _PATIENCE:
            for reason in {job.reason for job in queue} - self._said:
                print(f"no job is running; Slurm says: {reason}", file=sys.stderr, flush=True)
                self._said.add(reason)


def _stopped() -> bool:
    """Whether the sweep was asked to stop."""
    return StopRequest.active is not None and StopRequest.active.requested


def _arrays(jobs: dict[str, Job[Any]]) -> list[str]:
    return sorted({job.job_id.partition("_")[0] for job in jobs.values()}, key=int)


with suppress(ImportError):  # The optional extra "slurm".
    from hydra_plugins.hydra_submitit_launcher.config import SlurmQueueConf
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher

    class StudySlurm(SlurmJobs, SlurmLauncher):  # type: ignore[misc]
        """Slurm."""

    register("hydra/launcher", "study_slurm", SlurmQueueConf(_target_=f"{__name__}.StudySlurm"))

"""Launchers on submitit: a Slurm cluster, or processes of this machine that survive a crash."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn

from hydra_plugins.resnet_study_jobs import SubmititLauncher, death_of, result_of
from resnet_study import slurm
from resnet_study.errors import StudyError
from resnet_study.slurm import Submitted

if TYPE_CHECKING:
    from submitit import Job

# Seconds between two questions to Slurm: seldom, where jobs take long.
_SOONEST, _LATEST = 2.0, 30.0
_PATIENCE = 60.0


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
        minutes, delay = int(self.params["timeout_min"]), int(self.params["signal_delay_s"])
        for name, value, allowed in (
            ("array_parallelism", self._cap, "allowed is 1 or more"),
            ("timeout_min", minutes, "allowed is 1 minute or more"),
            ("signal_delay_s", max(0, 60 * minutes - delay), "allowed is less than timeout_min"),
        ):
            if value < 1:
                raise StudyError(f"hydra.launcher.{name}", self.params[name], allowed)
        self._largest = slurm.largest_array()
        self._began = self._asked = time.monotonic()
        # How often a job was not in the queue, of those without a result.
        self._absent: Counter[str] = Counter()
        self._leaving: set[str] = set()
        self._idle, self._said = self._began, set[str]()
        # Jobs that may run at the same time, of each array.
        self._throttles: dict[str, int] = {}
        return super().launch(job_overrides, initial_job_idx)

    @property
    def _cap(self) -> int:
        return int(self.params["array_parallelism"])

    def _only_signalled(self) -> bool:
        """Whether Slurm goes on with this job: then it is for us to have it requeued.

        A job that Slurm is ending has left the state RUNNING. Where it is preempted Slurm
        requeues it; where the user cancels it nobody must.
        """
        job = os.environ["SLURM_JOB_ID"]
        return slurm.state(job) == "RUNNING"

    def _leave(self, number: signal.Signals) -> None:
        # Without a result: a preempted job comes back, and what it then returns counts.
        raise SystemExit(128 + number)

    @property
    def _submitted(self) -> Submitted:
        return Submitted(Path(str(self.config.hydra.sweep.dir)))

    def _joined(self, runs: dict[str, list[str]]) -> dict[str, Job[Any]]:
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

    def _room(self, waiting: int, left: int) -> int:
        # A second array begins with a good part of what both may have.
        free = self._cap - waiting
        return self._largest if free >= min(left, max(1, self._cap // 2)) else 0

    def _settings(self, waiting: int) -> dict[str, Any]:
        settings = super()._settings(waiting)
        settings["array_parallelism"] = self._cap - waiting
        if cpus := settings.get("cpus_per_task"):
            # Which srun takes over from sbatch in some versions of Slurm, and not in others.
            settings["srun_args"] = [f"--cpus-per-task={cpus}"]
        return settings

    def _submit(self, runs: dict[str, list[str]], waiting: int) -> dict[str, Job[Any]]:
        jobs = super()._submit(runs, waiting)
        ids = {run: job.job_id for run, job in jobs.items()}
        self._submitted.add(ids)
        self._throttles |= dict.fromkeys(_arrays(jobs), self._cap - waiting)
        return jobs

    def _ended(self, waiting: dict[str, Job[Any]]) -> dict[str, str]:
        results = {run: result_of(job) for run, job in waiting.items()}
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
                ended[run] = "left" if run in self._leaving else death_of(job, state)
        return ended

    def _say_why(self, queue: list[slurm.Queued]) -> None:
        """Says, once for each reason, why nothing has been running for a minute."""
        if not queue or any(job.state != "PENDING" for job in queue):
            self._idle = time.monotonic()
        elif time.monotonic() - self._idle > _PATIENCE:
            for reason in {job.reason for job in queue} - self._said:
                print(f"no job is running; Slurm says: {reason}", file=sys.stderr, flush=True)
                self._said.add(reason)

    def _stop(self, waiting: dict[str, Job[Any]]) -> bool:
        if waiting:
            print(
                f"{len(waiting)} runs stay in Slurm's queue; the same command waits for them "
                f"again, scancel {' '.join(_arrays(waiting))} ends them",
                file=sys.stderr,
            )
        return True


class LocalJobs(SubmititLauncher):
    """Each run a process of this machine, so many at a time."""

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """As in `SubmititLauncher`."""
        self._sweep = os.getpid()
        self._gpus = os.environ.get("CUDA_VISIBLE_DEVICES")
        return super().launch(job_overrides, initial_job_idx)

    def __call__(self, *arguments: Any) -> Any:
        """Carries out a run, in its process, for as long as the sweep is there."""
        # submitit numbers the GPUs that it lets a process see; ours sees what the sweep sees.
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        if self._gpus is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = self._gpus
        threading.Thread(target=self._end_with_sweep, daemon=True).start()
        return super().__call__(*arguments)

    def _end_with_sweep(self) -> None:
        while psutil.pid_exists(self._sweep):
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    def _room(self, waiting: int, left: int) -> int:
        return min(left, max(0, int(self.params["array_parallelism"]) - waiting))

    def _settings(self, waiting: int) -> dict[str, Any]:
        settings = super()._settings(waiting)
        del settings["array_parallelism"]
        return settings

    def _ended(self, waiting: dict[str, Job[Any]]) -> dict[str, str]:
        over = {run: job for run, job in waiting.items() if job.done()}
        return {
            run: result_of(job) or death_of(job, "without a result") for run, job in over.items()
        }

    def _stop(self, waiting: dict[str, Job[Any]]) -> bool:
        # Time and again: a process that is about to begin passes over the first request.
        for job in waiting.values():
            with suppress(ProcessLookupError):
                os.kill(int(job.job_id), signal.SIGTERM)
        return False


def _arrays(jobs: dict[str, Job[Any]]) -> list[str]:
    return sorted({job.job_id.partition("_")[0] for job in jobs.values()}, key=int)


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

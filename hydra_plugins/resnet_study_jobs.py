"""What the launchers on submitit share: jobs are submitted, waited for, and requeued.

They differ from submitit's own in what a long sweep needs: one dead job does not end the
others, jobs that are in the queue already are waited for rather than submitted again, and a
run that is asked to stop has saved its state before its job is requeued.
"""

from __future__ import annotations

import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus

from resnet_study.errors import StudyError
from resnet_study.interruption import StopRequest

if TYPE_CHECKING:
    from submitit import Job

_POLL, _LOOK = 0.5, 0.005


class SubmititLauncher(ABC):
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
            if number == signal.SIGUSR2 or self._only_signalled():
                assert callable(requeue)
                requeue(number, None)
            self._leave(number)
        # The configs of a result are large, and nobody reads them.
        result.cfg = result.hydra_cfg = None
        return result

    def _only_signalled(self) -> bool:
        """Whether a job that has got a signal other than SIGUSR2 should be requeued by itself."""
        return False

    def _leave(self, number: signal.Signals) -> None:  # noqa: B027 - most just return
        """Ends a job that was stopped and is not to be requeued by itself."""

    def launch(
        self,
        job_overrides: Sequence[Sequence[str]],
        initial_job_idx: int,  # noqa: ARG002 - Hydra's
    ) -> Sequence[JobReturn]:
        """Runs the jobs and returns when all have ended, or a stop was requested."""
        runs = {run_of(overrides): list(overrides) for overrides in job_overrides}
        outcomes: dict[str, str] = {}
        waiting = self._joined(runs)
        left = [run for run in runs if run not in waiting]
        while waiting or left:
            while left and not stopped() and (room := self._room(len(waiting), len(left))):
                batch, left = left[:room], left[room:]
                waiting |= self._submit({run: runs[run] for run in batch}, len(waiting))
            for run, outcome in self._ended(waiting).items():
                outcomes[run] = outcome
                del waiting[run]
            if stopped():
                left = []
                if self._stop(waiting):
                    break
            if waiting:
                # A look at a job is a question to the file system, perhaps over a network.
                time.sleep(max(_POLL, _LOOK * len(waiting)))
        return [
            JobReturn(status=JobStatus.COMPLETED, _return_value=outcomes.get(run, "left"))
            for run in runs
        ]

    def _joined(self, runs: dict[str, list[str]]) -> dict[str, Job[Any]]:  # noqa: ARG002
        """Jobs of an earlier sweep that are in the queue, by run."""
        return {}

    @abstractmethod
    def _room(self, waiting: int, left: int) -> int:
        """How many of the runs that are left may be submitted now."""

    @abstractmethod
    def _ended(self, waiting: dict[str, Job[Any]]) -> dict[str, str]:
        """What those jobs that have ended returned, or how they ended without, by run."""

    @abstractmethod
    def _stop(self, waiting: dict[str, Job[Any]]) -> bool:
        """Stops what has been submitted; returns whether not to wait for it."""

    def _settings(self, waiting: int) -> dict[str, Any]:  # noqa: ARG002
        """Settings for submitit, where so many jobs have not ended."""
        return {key: value for key, value in self.params.items() if value is not None}

    def _submit(self, runs: dict[str, list[str]], waiting: int) -> dict[str, Job[Any]]:
        import submitit
        from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
        from omegaconf import OmegaConf

        settings = self._settings(waiting)
        kind, shared = self._EXECUTOR, set(OmegaConf.structured(BaseQueueConf))
        state = [Singleton.get_state()] * len(runs)
        try:
            executor = submitit.AutoExecutor(
                cluster=kind,
                folder=settings.pop("submitit_folder"),
                **{f"{kind}_max_num_timeout": settings.pop("max_num_timeout")},
            )
            executor.update_parameters(
                **{k if k in shared else f"{kind}_{k}": value for k, value in settings.items()}
            )
            columns = (["hydra.sweep.dir"] * len(runs), range(len(runs)), list(runs), state)
            jobs = executor.map_array(self, list(runs.values()), *columns)
        except Exception as error:
            # submitit hands on in many lines what sbatch says, or what it finds in settings.
            words = [w for w in str(error).splitlines() if w.strip()] or [type(error).__name__]
            told = [w for w in words if "error:" in w] or words[:1]
            raise StudyError("hydra/launcher", kind, told[-1].strip()) from error
        return dict(zip(runs, jobs, strict=True))


def stopped() -> bool:
    """Whether the sweep was asked to stop."""
    return StopRequest.active is not None and StopRequest.active.requested


def run_of(overrides: Sequence[str]) -> str:
    """The run that the sweeper has named as the job's folder."""
    (subdir,) = (word for word in overrides if word.startswith("hydra.sweep.subdir="))
    return subdir.partition("=")[2]


def result_of(job: Job[Any]) -> str | None:
    """What a job has returned; None where it has returned nothing yet, or never will."""
    import submitit

    folder = job.paths.folder
    with suppress(OSError):
        # On a network file system this makes us see what is new there.
        folder.chmod(folder.stat().st_mode)
    if not job.paths.result_pickle.exists():
        return None
    try:
        return str(job.result().return_value)
    except submitit.core.utils.UncompletedJobError as error:
        words = str(error)
        reason = words.partition("Job not requeued because: ")[2].partition("\n")[0]
        return f"failed: job {job.job_id}: {reason or _last_words(words)}"


def death_of(job: Job[Any], state: str) -> str:
    """What is said of a job that has ended without a result."""
    words = _last_words(job.stderr() or "")
    return f"failed: job {job.job_id} has ended ({state}){f': {words}' if words else ''}"


def _last_words(log: str) -> str:
    """The last line of a log that says what went wrong, if one does."""
    lines = [line.strip() for line in log.splitlines() if line.strip(" -")]
    told = [line for line in lines if "rror" in line]
    return (told or lines or [""])[-1]

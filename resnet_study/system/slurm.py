"""What is asked of Slurm, which of its jobs are an experiment's, and what became of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from resnet_study.system.errors import StorageError
from resnet_study.system.files import write_text

if TYPE_CHECKING:
    from submitit import Job


def ask(*command: str) -> str | None:
    """What a command of Slurm prints; None where it fails."""
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout.strip()
    return None


@dataclass(frozen=True)
class Queued:
    """A job in the queue.

    Attributes:
        state: Slurm's word, such as "PENDING".
        reason: Why it is not running, such as "Resources".
    """

    state: str
    reason: str


def queue(name: str) -> dict[str, Queued] | None:
    """The user's jobs of this name in the queue, by id; None without an answer."""
    listed = ask("squeue", "--noheader", "--me", "--array", "--format=%i|%T|%r|%j")
    if listed is None:
        return None
    rows = [line.split("|", 3) for line in listed.splitlines()]
    return {row[0]: Queued(row[1], row[2]) for row in rows if row[3:] == [name]}


def state(job: str) -> str | None:
    """The state of a job, or of one that has ended a short while ago; None if unknown."""
    return ask("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T") or None


def raise_throttle(array: str, jobs: int) -> None:
    """Lets more jobs of an array run at the same time."""
    ask("scontrol", "update", f"JobId={array}", f"ArrayTaskThrottle={jobs}")


def largest_array() -> int:
    """Jobs that an array may have here; Slurm's own limit is 1,000."""
    for line in (ask("scontrol", "show", "config") or "").splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "MaxArraySize" and value.strip().isdecimal():
            return max(1, int(value) - 1)
    return 1000


class Submitted:
    """The job of each run of a sweep, by the run's folder, kept for the next sweep.

    Args:
        folder: The experiment's.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / ".submitit" / "jobs.json"

    def read(self) -> dict[str, str]:
        """Job ids by run folder.

        Raises:
            StorageError: The file is damaged.
        """
        try:
            jobs = json.loads(self.path.read_text(encoding="utf-8"))
            return {str(run): str(job) for run, job in jobs.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError) as error:
            raise StorageError(
                "jobs", self.path, "cannot be read; cancel its jobs in Slurm and delete it"
            ) from error

    def add(self, jobs: Mapping[str, str]) -> None:
        """Adds jobs, in place of earlier ones of the same runs."""
        with FileLock(self.path.with_suffix(".lock")):
            write_text(self.path, json.dumps(self.read() | dict(jobs), indent=0) + "\n")


def result_of(job: Job[Any]) -> Any:
    """What a job has returned, or the error that it ended with in place of a result.

    Returns:
        None where it has returned nothing yet, or never will.
    """
    import submitit

    folder = job.paths.folder
    with suppress(OSError):
        # On a network file system this makes us see what is new there.
        folder.chmod(folder.stat().st_mode)
    if not job.paths.result_pickle.exists():
        return None
    try:
        return job.result()
    except submitit.core.utils.UncompletedJobError as error:
        words = str(error)
        reason = words.partition("Job not requeued because: ")[2].partition("\n")[0]
        return RuntimeError(f"job {job.job_id}: {reason or _last_words(words)}")


def death_of(job: Job[Any], state: str) -> RuntimeError:
    """What is said of a job that has ended without a result."""
    words = _last_words(job.stderr() or "")
    return RuntimeError(f"job {job.job_id} has ended ({state}){f': {words}' if words else ''}")


def _last_words(log: str) -> str:
    """The last line of a log that says what went wrong, if one does."""
    lines = [line.strip() for line in log.splitlines() if line.strip(" -")]
    told = [line for line in lines if "rror" in line]
    return (told or lines or [""])[-1]

"""Queries to Slurm, the jobs of an experiment, and how they ended."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_study.system.command import output_of
from resnet_study.system.errors import StorageError
from resnet_study.system.files import write_text
from resnet_study.system.locks import locked

if TYPE_CHECKING:
    from submitit import Job


def ask(*command: str) -> str | None:
    """Returns what a command of Slurm prints; None if it fails."""
    with suppress(OSError, subprocess.SubprocessError):
        return output_of(*command).strip()
    return None


@dataclass(frozen=True)
class Queued:
    """A job in the queue.

    Attributes:
        state: Slurm's name of its state, such as "PENDING".
        reason: Why it is not running, such as "Resources".
    """

    state: str
    reason: str


def queue(name: str) -> dict[str, Queued] | None:
    """Returns the user's jobs of this name in the queue, by id; None without an answer."""
    listed = ask("squeue", "--noheader", "--me", "--array", "--format=%i|%T|%r|%j")
    if listed is None:
        return None
    rows = [line.split("|", 3) for line in listed.splitlines()]
    return {row[0]: Queued(row[1], row[2]) for row in rows if row[3:] == [name]}


def state(job: str) -> str | None:
    """Returns the state of a job in the queue or of one that ended lately; None if unknown."""
    return ask("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T") or None


def raise_throttle(array: str, jobs: int) -> None:
    """Lets the given number of an array's jobs run at the same time."""
    ask("scontrol", "update", f"JobId={array}", f"ArrayTaskThrottle={jobs}")


def largest_array() -> int:
    """Returns how many jobs an array may have here; by default Slurm allows 1,000."""
    settings = ask("scontrol", "show", "config") or ""
    found = re.search(r"^\s*MaxArraySize\s*=\s*(\d+)\s*$", settings, re.MULTILINE)
    return max(1, int(found[1]) - 1) if found else 1000


class Submitted:
    """The file that names the job of each run of a sweep, for the next sweep.

    Args:
        folder: The experiment's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / ".submitit" / "jobs.json"

    def read(self) -> dict[str, str]:
        """Returns job ids by run folder.

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
        """Adds jobs; they replace earlier jobs of the same runs."""
        with locked(self.path.with_suffix(".lock"), "runs_dir"):
            write_text(self.path, json.dumps(self.read() | dict(jobs), indent=0) + "\n")


def result_of(job: Job[Any]) -> Any:
    """Returns a job's result, or the error that it ended with.

    Returns:
        None where it has no result yet, or never will.
    """
    import submitit

    folder = job.paths.folder
    with suppress(OSError):
        # This refreshes our view of a network file system.
        folder.chmod(folder.stat().st_mode)
    if not job.paths.result_pickle.exists():
        return None
    try:
        return job.result()
    except submitit.core.utils.UncompletedJobError as error:
        words = str(error)
        reason = words.partition("Job not requeued because: ")[2].partition("\n")[0]
        return RuntimeError(f"job {job.job_id}: {reason or _last_words(words)}")


def death_of(job: Job[Any]) -> RuntimeError:
    """Returns the error of a job that has ended without a result."""
    ended = state(job.job_id) or "not in the queue"
    words = _last_words(job.stderr() or "")
    return RuntimeError(f"job {job.job_id} has ended ({ended}){f': {words}' if words else ''}")


def _last_words(log: str) -> str:
    """Returns the last line of a log that names an error; without one, its last line."""
    lines = [line.strip() for line in log.splitlines() if line.strip(" -")]
    told = [line for line in lines if "rror" in line]
    return (told or lines or [""])[-1]

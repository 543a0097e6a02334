"""The plan of a sweep: state and time of each run, and what all of them need."""

import functools
import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace

from resnet_study.config import RunConfig
from resnet_study.plan import estimate
from resnet_study.plan.estimate import Estimate
from resnet_study.plan.place import Place
from resnet_study.store.folder import COMPLETE, RunFolder
from resnet_study.store.space import estimated_bytes, free_bytes, kept_bytes
from resnet_study.sweep import distinct


@dataclass(frozen=True)
class PlannedRun:
    """One run of a plan.

    Attributes:
        config: The run.
        state: "finished" (or diverged), "begun", "not begun", or "damaged" where its manifest
            cannot be read, so that the sweep does not train it.
        iteration: The iteration from which it resumes.
        estimate: What the whole run takes.
    """

    config: RunConfig
    state: str
    iteration: int
    estimate: Estimate

    @property
    def left(self) -> bool:
        return self.state in ("begun", "not begun")

    @property
    def seconds_left(self) -> float:
        done = self.iteration / self.config.schedule.iterations
        return self.left * self.estimate.seconds * (1 - done)


@dataclass(frozen=True)
class Plan:
    """What a sweep would take.

    Attributes:
        runs: In the order in which they would start, finished ones included.
        place: Where they train.
        needs: Seconds until all runs have ended, and summed over runs; core and GPU hours;
            bytes of disk needed while they train, kept afterwards, and free.
        notes: Remarks for the reader.
    """

    runs: list[PlannedRun]
    place: Place
    needs: dict[str, float]
    notes: list[str]


def make_plan(asked: Sequence[RunConfig], place: Place, given: str | None) -> Plan:
    """Plans a sweep; reads run folders and a benchmark, and writes nothing.

    Args:
        asked: The sweep's runs, in any order, with repetitions.
        place: Where they train.
        given: A benchmark's file that the user names; it takes precedence over finished runs.

    Raises:
        StudyError: The benchmark cannot be read, or an image folder is missing.
    """
    benchmark = estimate.choose_benchmark(given, place)
    measured = estimate.read_benchmark(benchmark)
    unfinished = [config for config in asked if progress(config)[0] != "finished"]
    starts = [start for config in unfinished if (start := config.shallower())]

    @functools.cache
    def estimate_of(network: RunConfig) -> Estimate:
        known = estimate.from_finished_runs(network, place) if given is None else None
        return known or estimate.from_benchmark(network, place, measured)

    # Seeds of one network take the same time.
    configs = distinct([*asked, *starts])
    runs = [PlannedRun(c, *progress(c), estimate_of(replace(c, seed=0))) for c in configs]
    notes = []
    if added := len(runs) - len(distinct(asked)):
        notes.append(f"{added} of the runs were not asked for: others start from them")
    bases = {run.estimate.basis for run in runs if run.left}
    if benchmark == estimate.RECORDED and bases & {"measured", "scaled"}:
        notes.append("another machine was measured: run make bench where the runs will train")
    if "scaled" in bases:
        notes.append("scaled from another width, side, precision or device: only a rough guess")
    return Plan(runs, place, _needs(runs, place), notes)


def progress(config: RunConfig) -> tuple[str, int]:
    """A run's state, as in `PlannedRun`, and the iteration from which it resumes.

    The last logged iteration stands for that of the checkpoint, which may be a little older.
    """
    folder = RunFolder.of(config)
    state = folder.state()
    if state is None or state == "damaged":
        return state or "not begun", 0
    saved = folder.checkpoint_file.exists() or folder.previous_checkpoint_file.exists()
    iteration = folder.last_iteration() if saved else 0
    state = "finished" if state in COMPLETE else "begun"
    return state, min(iteration, config.schedule.iterations)


def _needs(runs: Sequence[PlannedRun], place: Place) -> dict[str, float]:
    left = [run for run in runs if run.left]
    wall, seconds = wall_seconds(left, place.workers), sum(run.seconds_left for run in left)
    core_seconds = sum(r.seconds_left * (r.config.threads or place.threads) for r in left)
    return {
        "wall_seconds": wall,
        "run_seconds": seconds,
        "core_hours": core_seconds / 3600,
        # GPUs of this machine are taken until the end, those of a cluster while a run trains.
        "gpu_hours": place.gpus * (seconds if place.cluster else wall) / 3600,
        "bytes_while": sum(estimated_bytes(run.config) for run in left),
        "bytes_kept": sum(kept_bytes(run.config) for run in left),
        "bytes_free": free_bytes(runs[0].config.runs_dir),
    }


def wall_seconds(runs: Sequence[PlannedRun], workers: int) -> float:
    """Seconds until the last of the runs has ended.

    Args:
        runs: In the order in which they start, each on the first free worker. A run that starts
            from another one waits there until that has ended.
        workers: Number of workers.
    """
    free = [0.0] * workers
    ends: dict[RunConfig | None, float] = {}
    for run in runs:
        begin = max(free[0], ends.get(run.config.shallower(), 0.0))
        ends[run.config] = begin + run.seconds_left
        heapq.heapreplace(free, ends[run.config])
    return max(free)

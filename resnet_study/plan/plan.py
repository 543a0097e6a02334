"""The plan of a sweep: each run's state and time, and what all of them need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from resnet_study.config import RunConfig
from resnet_study.errors import StorageError
from resnet_study.plan import measured
from resnet_study.plan.estimate import Estimate, estimate, start_seconds
from resnet_study.plan.evidence import Evidence, Record
from resnet_study.plan.images import images_of
from resnet_study.plan.measured import Benchmark
from resnet_study.plan.place import Place
from resnet_study.plan.queue import Task, wall_time
from resnet_study.runs import COMPLETE, RunFolder, estimated_bytes, free_bytes, kept_bytes
from resnet_study.sweep import Job, distinct


@dataclass(frozen=True)
class PlannedRun:
    """One run of a plan.

    Attributes:
        config: The run.
        state: As in its manifest; "damaged" where that cannot be read, "left" before it.
        iteration: The last one on record.
        saved: The one that it would go on from.
        estimate: What it takes from beginning to end.
        asked: Whether the command asks for it; others are trained because runs start from
            them.
    """

    config: RunConfig
    state: str
    iteration: int
    saved: int
    estimate: Estimate
    asked: bool = True

    @property
    def complete(self) -> bool:
        return self.state in COMPLETE

    @property
    def begun(self) -> bool:
        return self.state in ("running", "failed")

    @property
    def seconds_left(self) -> float:
        if self.complete or self.state == "damaged":
            return 0.0
        share = 1 - self.saved / self.config.schedule.iterations
        return self.estimate.start + share * (self.estimate.seconds - self.estimate.start)


@dataclass(frozen=True)
class Plan:
    """What a sweep would take.

    Attributes:
        runs: In the order in which they would be started, finished ones included.
        place: Where they are trained.
        benchmark: What times rest on, where no finished run tells.
        source: "given", "this machine" or "another machine".
        device_name: What this machine would train on; None where it trains none.
        wall_seconds: Until all that is left has ended.
        run_seconds: The sum over all that is left.
        bytes_while: Disk that what is left needs while it is trained: a sweep asks for so much.
        bytes_kept: Disk that it keeps.
        bytes_free: Disk that is free.
    """

    runs: tuple[PlannedRun, ...]
    place: Place
    benchmark: Benchmark
    source: str
    device_name: str | None
    wall_seconds: float
    run_seconds: float
    bytes_while: int
    bytes_kept: int
    bytes_free: int

    @property
    def folder(self) -> Path:
        return RunFolder.of(self.runs[0].config).path.parent

    @property
    def left(self) -> list[PlannedRun]:
        return [run for run in self.runs if not run.complete and run.state != "damaged"]

    @property
    def core_hours(self) -> float:
        threads = self.place.threads
        return sum(r.seconds_left * (r.config.threads or threads) for r in self.left) / 3600

    @property
    def gpu_hours(self) -> float:
        shared = self.wall_seconds if not self.place.cluster else self.run_seconds
        return shared * self.place.gpus / 3600


def make_plan(jobs: Sequence[Job], place: Place, given: str | None, device_name: str) -> Plan:
    """Plans a sweep; reads run folders and a benchmark, and writes nothing.

    Args:
        jobs: The sweep's jobs, in any order, with repetitions.
        place: Where they are trained.
        given: A benchmark's file that the user names, or None.
        device_name: What this machine would train on.

    Raises:
        StudyError: The benchmark cannot be read, or an image folder is not there.
    """
    configs = [job.config for job in distinct(jobs)]
    benchmark, source = measured.choose(given, device_name, place.cores)
    record = None
    if given is None:
        # Whoever trains on a cluster has trained this experiment's runs there.
        folder = RunFolder.of(configs[0]).path.parent
        record = Record(folder, None if place.cluster else device_name)
    asked = {config.run_id for config in configs}
    estimates: dict[RunConfig, Estimate] = {}
    runs = []
    for config in _with_starts(configs):
        cell = replace(config, seed=0)
        if cell not in estimates:
            threads = config.threads or place.threads
            evidence = record.of(config, threads) if record else None
            estimates[cell] = (
                _from_record(evidence, place)
                if evidence
                else estimate(config, images_of(config.data), place, benchmark)
            )
        runs.append(PlannedRun(config, *_progress(config), estimates[cell], config.run_id in asked))
    plan = Plan(
        tuple(runs),
        place,
        benchmark,
        source,
        None if place.cluster else device_name,
        *(0.0, 0.0, 0, 0),
        free_bytes(configs[0].runs_dir),
    )
    return replace(
        plan,
        wall_seconds=wall_time(_tasks(plan.left), place.workers),
        run_seconds=sum(run.seconds_left for run in plan.left),
        bytes_while=sum(estimated_bytes(run.config) for run in plan.left),
        bytes_kept=sum(kept_bytes(run.config) for run in plan.left),
    )


def _from_record(evidence: Evidence, place: Place) -> Estimate:
    start = start_seconds(place)
    runs = f"{evidence.runs} run{'s' if evidence.runs > 1 else ''}"
    note = f"the runs on record were trained on {evidence.device_name}" if place.cluster else ""
    return Estimate(evidence.seconds + start, start, runs, evidence.spread, (note,) if note else ())


def _with_starts(configs: Sequence[RunConfig]) -> list[RunConfig]:
    """Adds the shallower runs that others start from, each before the first of these.

    The first of them trains it, as `experiment.run` does.
    """
    there = {config.run_id for config in configs}
    found = []
    for config in configs:
        shallower = config.shallower()
        if shallower is not None and shallower.run_id not in there:
            state, _, _ = _progress(shallower)
            if state not in COMPLETE and _progress(config)[0] not in COMPLETE:
                found.append(shallower)
            there.add(shallower.run_id)
        found.append(config)
    return found


def _tasks(left: Sequence[PlannedRun]) -> list[Task]:
    names = {run.config.run_id for run in left}
    tasks = []
    for run in left:
        shallower = run.config.shallower()
        waits = shallower is not None and shallower.run_id in names and not run.saved
        after = shallower.run_id if shallower is not None and waits else None
        tasks.append(Task(run.config.run_id, run.seconds_left, after))
    return tasks


def _progress(config: RunConfig) -> tuple[str, int, int]:
    """A run's state, its last iteration on record, and the one that it would go on from."""
    folder = RunFolder.of(config)
    try:
        manifest = folder.read_manifest()
    except StorageError:
        return "damaged", 0, 0
    if manifest is None:
        return "left", 0, 0
    state = str(manifest["state"])
    end = config.schedule.iterations
    last = min(_iteration(folder.last_row()), end)
    if state in COMPLETE:
        return state, last, last
    checkpoints = (folder.checkpoint_file, folder.previous_checkpoint_file)
    kept = any(file.exists() for file in checkpoints)
    return state, last, min(_sealed(folder, manifest), last) if kept else 0


def _sealed(folder: RunFolder, manifest: dict[str, Any]) -> int:
    """The last row that the last checkpoint holds: what came after it is trained again."""
    seal = manifest.get("metrics")
    length = seal.get("bytes") if isinstance(seal, dict) else None
    if not isinstance(length, int):
        return 0
    try:
        lines = folder.metrics_file.read_bytes()[:length].decode("ascii").splitlines()
    except (OSError, ValueError):
        return 0
    if len(lines) < 2:
        return 0
    return _iteration(dict(zip(lines[0].split(","), lines[-1].split(","), strict=False)))


def _iteration(row: dict[str, str] | None) -> int:
    digits = (row or {}).get("iteration", "")
    return int(digits) if digits.isdigit() else 0

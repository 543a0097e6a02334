"""Many runs: which are distinct, which are left, in which order, and what became of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from resnet_study.config import RunConfig
from resnet_study.errors import StudyError
from resnet_study.progress import SweepReporter, duration
from resnet_study.runs import RunFolder

# A worker that is killed takes its run along; the same run may be unlucky, not at fault.
ATTEMPTS = 3
_PATIENCE = 5.0


@dataclass(frozen=True)
class Job:
    """A run and the command-line overrides that describe it.

    Attributes:
        overrides: Hydra overrides, from which a worker composes the config again.
        config: The run.
    """

    overrides: tuple[str, ...]
    config: RunConfig


def relative_cost(config: RunConfig) -> float:
    """Training cost in arbitrary units, good enough to order runs and to guess time left."""
    side = config.data.resolution or 32
    images = config.schedule.iterations * config.schedule.batch_size
    # Small networks are bound by memory traffic, which grows with width, not its square.
    return float(images * config.model.depth * config.model.width * side**2)


def distinct(jobs: Sequence[Job]) -> list[Job]:
    """One job per run id, the longest first: plain networks with A and with B are one."""
    by_id = {job.config.run_id: job for job in reversed(jobs)}
    return sorted(by_id.values(), key=lambda job: (-relative_cost(job.config), job.config.run_id))


def execute(jobs: Sequence[Job], launch: Callable[[Sequence[Job]], Any]) -> int:
    """Carries out a sweep; whatever is finished already is not started.

    Args:
        jobs: The sweep's jobs, in any order, with repetitions.
        launch: Runs jobs, in the order given, and returns when they have ended. What
            became of them is read from their folders, so a worker may die.

    Returns:
        Exit status: 0, or 1 where a run failed.

    Raises:
        StudyError: A run cannot be carried out here; no run has been started.
    """
    runs = distinct(jobs)
    left = [job for job in runs if not RunFolder.of(job.config).completed()]
    folder = RunFolder.of(runs[0].config).path.parent
    print(
        f"{len(runs)} runs in {folder}: {len(runs) - len(left)} finished, {len(left)} to train",
        file=sys.stderr,
    )
    if left:
        _prepare([job.config for job in left])
        began = time.monotonic()
        configs = [job.config for job in runs]
        with SweepReporter(configs, [relative_cost(c) for c in configs]):
            _launch_until_done(left, launch)
        print(f"trained in {duration(time.monotonic() - began)}", file=sys.stderr)
    return _summarise(runs)


def _prepare(configs: Sequence[RunConfig]) -> None:
    """Device, folders and data of every run are tried here, once, before any is started."""
    from resnet_study.experiment import prepare

    tried = set()
    for config in configs:
        place = (config.data, config.device, config.runs_dir, config.schedule.batch_size)
        if place not in tried:
            prepare(config)
            tried.add(place)


def _launch_until_done(jobs: Sequence[Job], launch: Callable[[Sequence[Job]], Any]) -> None:
    attempts = 0
    left = list(jobs)
    while left and attempts < ATTEMPTS:
        before = {job.config.run_id: RunFolder.of(job.config).read_manifest() for job in left}
        try:
            launch(left)
        except Exception as error:  # noqa: BLE001 - any launcher, any worker's death
            attempts += 1
            print(f"warning: the launcher stopped: {error}", file=sys.stderr)

        def ended(job: Job) -> bool:
            manifest = RunFolder.of(job.config).read_manifest()
            return manifest != before[job.config.run_id] and (  # noqa: B023
                manifest is not None and manifest["state"] != "running"
            )

        left = [job for job in left if not ended(job)]
        if left and attempts == 0:
            # Another sweep on this folder is at them: come back when it is done.
            time.sleep(_PATIENCE)


def _summarise(runs: Sequence[Job]) -> int:
    failed = 0
    for job in runs:
        folder = RunFolder.of(job.config)
        try:
            manifest = folder.read_manifest()
        except StudyError as error:
            failed += 1
            print(f"damaged: {folder.path}: {error}", file=sys.stderr)
            continue
        state = manifest["state"] if manifest else "not started"
        if state == "diverged":
            print(f"diverged: {folder.path}", file=sys.stderr)
        elif state != "finished":
            failed += 1
            print(f"{state}: {folder.path}", file=sys.stderr)
            if state == "failed" and folder.failure_file.exists():
                last = folder.failure_file.read_text(encoding="utf-8").strip().splitlines()[-1]
                print(f"  {last}", file=sys.stderr)
    if failed:
        print(
            f"{failed} of {len(runs)} runs are not finished; the same command goes on with them",
            file=sys.stderr,
        )
    return 1 if failed else 0

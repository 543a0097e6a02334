"""Many runs: which are distinct, which are left, in which order, and what became of them."""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from dataclasses import dataclass, replace

import psutil

from resnet_study.config import RunConfig
from resnet_study.errors import ConfigError, StudyError
from resnet_study.interruption import StopRequest
from resnet_study.progress import SweepReporter, duration
from resnet_study.runs import COMPLETE, RunFolder, check_space

# A killed worker takes down the runs of its pool, at fault or not; they go on from their
# checkpoints, this many times.
ATTEMPTS = 5
_PATIENCE = 5.0
RUNS_PER_GPU = 8


@dataclass(frozen=True)
class Job:
    """A run and the command-line overrides that describe it.

    Attributes:
        overrides: Hydra overrides, from which a worker composes the config again.
        config: The run.
    """

    overrides: tuple[str, ...]
    config: RunConfig


# Runs jobs in the order given and returns, by run id, what went wrong with those that failed.
Launch = Callable[[Sequence[Job], StopRequest], dict[str, str]]


def relative_cost(config: RunConfig) -> float:
    """Training cost in arbitrary units, good enough to order runs and to guess time left."""
    side: float = config.data.resolution or 32
    if config.model.architecture == "imagenet":
        # What its stages see: stem and pooling have reduced it.
        side = (config.data.stream.crop if config.data.streamed else side) / 4
    images = config.schedule.iterations * config.schedule.batch_size
    # CIFAR's networks are bound by memory traffic, which grows with width, not its square; and
    # within ImageNet's family all are of one width.
    return float(images * config.model.depth * config.model.width * side**2)


def workers_and_threads(
    asked: int,
    runs: int,
    cores: int,
    gpus: int,
    per_gpu: int = RUNS_PER_GPU,
) -> tuple[int, int]:
    """How many runs go on side by side, and on how many threads each.

    On a CPU one thread per run is fastest: what a convolution this small gains from a second
    one is less than a second run does. On a GPU several runs share the device, which one of
    these networks fills in small part only.

    Args:
        asked: What the launcher's setting says, as joblib counts: -1 leaves it to us, and on
            a CPU is all cores, -2 all but one.
        runs: Distinct runs of the sweep, finished ones included: how many are left must not
            change a run's threads, on which its rounding depends.
        cores: That this process may use.
        gpus: That runs are trained on; 0 on a CPU.
        per_gpu: Runs that share a GPU, as from `runs_per_gpu`.

    Raises:
        ConfigError: No worker was asked for.
    """
    if asked == 0:
        allowed = "allowed is 1 or more, or -1 for all cores"
        raise ConfigError("hydra.launcher.n_jobs", 0, allowed)
    most = asked if asked > 0 else max(1, cores + 1 + asked)
    if gpus and asked == -1:
        most = min(cores, per_gpu * gpus)
    workers = min(most, runs)
    return workers, max(1, cores // workers)


def runs_per_gpu(configs: Iterable[RunConfig]) -> int:
    """How many of these runs share a GPU: one of ImageNet's networks fills it."""
    filling = any(config.model.architecture == "imagenet" for config in configs)
    return 1 if filling else RUNS_PER_GPU


def distinct(jobs: Sequence[Job]) -> list[Job]:
    """One job per run id, the longest first: plain networks with A and with B are one.

    Runs that start from others come last, when those may be there.
    """
    by_id = {job.config.run_id: job for job in reversed(jobs)}

    def place(job: Job) -> tuple[bool, float, str]:
        start = job.config.start
        waits = start.depth is not None or start.run is not None
        return waits, -relative_cost(job.config), job.config.run_id

    return sorted(by_id.values(), key=place)


def execute(jobs: Sequence[Job], launch: Launch, elsewhere: bool = False) -> int:
    """Carries out a sweep; whatever is finished already is not started.

    Args:
        jobs: The sweep's jobs, in any order, with repetitions.
        launch: Runs jobs and returns when they have ended; once a stop is requested it
            starts no more. What became of a job is read from its folder, so any worker
            may die.
        elsewhere: Whether other machines train: then this one needs no device for it.

    Returns:
        Exit status: 0; 1 where a run failed; 128 plus the signal's number where the sweep
        was interrupted.

    Raises:
        StudyError: A run cannot be carried out here; no run has been started.
    """
    runs = distinct(jobs)
    left = [job for job in runs if _state(job) not in COMPLETE]
    folder = RunFolder.of(runs[0].config).path.parent
    print(
        f"{len(runs)} runs in {folder}: {len(runs) - len(left)} finished, {len(left)} to train",
        file=sys.stderr,
    )
    failures: dict[str, str] = {}
    _check_finished([job.config for job in runs if job not in left])
    if left:
        _prepare([job.config for job in left], elsewhere)
        began = time.monotonic()
        configs = [job.config for job in runs]
        with (
            StopRequest(forward=_tell_workers) as stop,
            SweepReporter(configs, [relative_cost(c) for c in configs]),
        ):
            failures = _launch_until_done(left, launch, stop)
        if stop.signal_number is not None:
            done = sum(_state(job) in COMPLETE for job in runs)
            print(
                f"interrupted: {done} of {len(runs)} runs are finished; the same command goes on "
                "with the others where they were saved",
                file=sys.stderr,
            )
            return 128 + stop.signal_number
        print(f"trained in {duration(time.monotonic() - began)}", file=sys.stderr)
    return _summarise(runs, failures)


def _tell_workers(_: int) -> None:
    """Passes a request to stop on to the worker processes, which save their runs."""
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            # A submission that is broken off would leave jobs that nobody knows.
            if child.name() not in ("sbatch", "squeue"):
                child.send_signal(signal.SIGTERM)


def _state(job: Job) -> str | None:
    """The state of a run, "damaged" where its manifest cannot be read, None before it."""
    try:
        manifest = RunFolder.of(job.config).read_manifest()
    except StudyError:
        return "damaged"
    return None if manifest is None else str(manifest["state"])


def _prepare(configs: Sequence[RunConfig], elsewhere: bool) -> None:
    """Device, folders and data of every run are tried here, once, before any is started."""
    from resnet_study.experiment import prepare

    tried = set()
    for config in configs:
        place = (
            (config.data, config.device, config.runs_dir, config.schedule.batch_size),
            (config.start, config.model if config.start.run is not None else None),
        )
        if place not in tried:
            prepare(replace(config, device="cpu") if elsewhere else config)
            tried.add(place)
    check_space(configs)


def _check_finished(configs: Sequence[RunConfig]) -> None:
    """Finished runs must have what is asked for: these images, not namesakes, and probes."""
    folders = [c for c in configs if c.data.in_folder or c.probes.active]
    if folders:
        from resnet_study.finished import check_finished

        for config in folders:
            check_finished(config)


def _launch_until_done(
    jobs: Sequence[Job],
    launch: Launch,
    stop: StopRequest,
) -> dict[str, str]:
    """Launches what is left until every run has ended, or has lost its worker too often.

    Returns:
        What went wrong, by run id, as the launcher was told.
    """
    deaths: Counter[str] = Counter()
    failures: dict[str, str] = {}
    left = list(jobs)
    while left and not stop.requested:
        before = {job.config.run_id: _fingerprint(job) for job in left}
        crashed = False
        try:
            failures |= launch(left, stop)
        except BrokenExecutor:
            # A worker's death breaks its whole pool. The folders say what is left.
            if stop.requested:
                break
            crashed = True
            print("warning: a worker process died; its runs go on", file=sys.stderr)

        touched = {r for j in left if _fingerprint(j) != before[r := j.config.run_id]}
        ended = {j.config.run_id for j in left if _state(j) in (*COMPLETE, "damaged")}
        ended |= {j.config.run_id for j in left if _state(j) == "failed"} & touched
        ended |= failures.keys()
        if crashed:
            # Where nothing has begun, the next attempt would end in the same way.
            deaths.update(touched - ended or before.keys() - ended)
        left = [
            job
            for job in left
            if job.config.run_id not in ended and deaths[job.config.run_id] < ATTEMPTS
        ]
        if left and not crashed:
            # Another sweep on this folder is at them: come back when it is done.
            time.sleep(_PATIENCE)
    return failures


def _fingerprint(job: Job) -> bytes:
    """Changes whenever the run's manifest is written."""
    try:
        return RunFolder.of(job.config).manifest_file.read_bytes()
    except OSError:
        return b""


def _summarise(runs: Sequence[Job], failures: dict[str, str]) -> int:
    failed = 0
    for job in runs:
        folder, state = RunFolder.of(job.config), _state(job) or "not started"
        if state == "finished":
            continue
        message = failures.get(job.config.run_id, "")
        with suppress(OSError):
            if state == "failed":
                message = folder.failure_file.read_text(encoding="utf-8")
        if state != "diverged":
            failed += 1
            if state == "running":
                # A launcher that knows more says so in the next line.
                state = "not finished" if message else "not finished, its worker died"
        print(f"{state}: {folder.path}", file=sys.stderr)
        for line in message.strip().splitlines()[-2:]:
            print(f"  {line}", file=sys.stderr)
    if failed:
        print(
            f"{failed} of {len(runs)} runs are not finished; the same command goes on with them",
            file=sys.stderr,
        )
    return 1 if failed else 0

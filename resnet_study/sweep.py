"""Many runs: distinct, ordered, launched, and summed up."""

import json
import signal
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil

from resnet_study.config import RunConfig
from resnet_study.config.fields import first_difference
from resnet_study.progress import SweepReporter, duration
from resnet_study.store.folder import COMPLETE, RunFolder
from resnet_study.store.space import check_space
from resnet_study.system.errors import ConfigError, say
from resnet_study.system.interruption import StopRequest
from resnet_study.training.world import World

# A killed worker takes down the other runs of its pool, which resume from their checkpoints. A run
# is started at most this often, whatever its folder says.
ATTEMPTS = 5
_PATIENCE = 5.0
RUNS_PER_GPU = 8


# Trains runs in the given order; returns the errors of those that failed, by folder.
Launch = Callable[[Sequence[RunConfig], StopRequest], dict[Path, str]]


def folder_of(config: RunConfig) -> Path:
    """A run's absolute folder, which identifies it within a sweep."""
    return RunFolder.of(config).path.absolute()


def hand_down(config: RunConfig) -> str:
    """Encodes a run, and the folder that its paths are relative to, as one argument."""
    values = {"cwd": str(Path.cwd()), "config": config.to_mapping()}
    return urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def handed_down(word: str) -> tuple[Path, RunConfig]:
    """Decodes what `hand_down` made, without resolving any setting again."""
    values = json.loads(urlsafe_b64decode(word + "=" * (-len(word) % 4)))
    return Path(values["cwd"]), RunConfig.from_mapping(values["config"])


def job_folder(overrides: Sequence[str]) -> Path:
    """The folder of the run that is encoded in a job's overrides."""
    (word,) = (word for word in overrides if word.startswith("+run_config="))
    cwd, config = handed_down(word.partition("=")[2])
    return cwd / RunFolder.of(config).path


def relative_cost(config: RunConfig) -> float:
    """Training cost in arbitrary units, exact enough to order runs and estimate the time left."""
    model, schedule = config.model, config.schedule
    images = schedule.iterations * schedule.batch_size
    return images * model.depth * model.design.layer_cost(model.width, config.data.side)


def workers_and_threads(
    asked: int, runs: int, cores: int, gpus: int, per_gpu: int = RUNS_PER_GPU
) -> tuple[int, int]:
    """How many runs train at the same time, and on how many threads each.

    On a CPU, one thread per run is fastest: a convolution this small gains less from a second
    thread than a second run does. On a GPU, several runs share the device, because one of
    these networks uses only a small part of it.

    Args:
        asked: The launcher's `n_jobs`, as joblib counts: -2 is all cores but one; -1 is all
            cores on a CPU, and chosen here on a GPU.
        runs: Number of distinct runs in the sweep, finished ones included: a run's threads, on
            which its rounding depends, must not change with the number of runs left.
        cores: Number of cores that this process may use.
        gpus: Number of GPUs to train on; 0 on a CPU.
        per_gpu: Number of runs that share a GPU, from `runs_per_gpu`.

    Raises:
        ConfigError: `asked` is 0.
    """
    if asked == 0:
        allowed = "must be 1 or more, or -1 for all cores"
        raise ConfigError("hydra.launcher.n_jobs", 0, allowed)
    most = asked if asked > 0 else max(1, cores + 1 + asked)
    if gpus and asked == -1:
        most = min(cores, per_gpu * gpus)
    workers = min(most, runs)
    return workers, max(1, cores // workers)


def runs_per_gpu(configs: Iterable[RunConfig]) -> int:
    """How many of these runs share a GPU: one if a single network keeps it busy."""
    return 1 if any(config.model.design.fills_gpu for config in configs) else RUNS_PER_GPU


def distinct(configs: Iterable[RunConfig]) -> list[RunConfig]:
    """One run per folder, the longest first: plain networks with A and with B are the same run.

    Runs that start from others come last: by then, those may be finished.

    Raises:
        ConfigError: Two differ in a setting that does not tell runs apart, such as threads.
    """
    by_folder: dict[Path, RunConfig] = {}
    for config in configs:
        first = by_folder.setdefault(folder_of(config), config)
        if first != config:
            name, *values = first_difference(first.to_mapping(), config.to_mapping())
            allowed = f"describes one run, {config.run_id}; give each its own experiment_name"
            raise ConfigError(name, ",".join(map(str, values)), allowed)

    def place(config: RunConfig) -> tuple[bool, float, Path]:
        waits = config.start.depth is not None or config.start.run is not None
        return waits, -relative_cost(config), folder_of(config)

    return sorted(by_folder.values(), key=place)


def execute(configs: Sequence[RunConfig], launch: Launch, elsewhere: bool = False) -> int:
    """Trains the runs of a sweep that are not finished yet.

    Args:
        configs: The sweep's runs, in any order, with repetitions.
        launch: Trains runs and returns when they have ended; after a stop request it starts no
            more. Outcomes are read from the run folders, so any worker may die.
        elsewhere: Whether other machines train, so that this one needs no device.

    Returns:
        Exit status: 0 on success, 1 where a run failed, 128 plus the signal's number where the
        sweep was interrupted.

    Raises:
        StudyError: A run cannot be trained here; none has been started.
    """
    runs = distinct(configs)
    left = [config for config in runs if RunFolder.of(config).state() not in COMPLETE]
    folders = sorted({str(RunFolder.of(config).path.parent) for config in runs})
    say(
        f"{len(runs)} runs in {', '.join(folders)}: {len(runs) - len(left)} finished, "
        f"{len(left)} to train"
    )
    failures: dict[Path, str] = {}
    _check_finished([config for config in runs if config not in left])
    if left:
        _prepare(left, elsewhere)
        began = time.monotonic()
        with (
            StopRequest(forward=_tell_workers) as stop,
            SweepReporter(runs, [relative_cost(config) for config in runs]),
        ):
            failures = _launch_until_done(left, launch, stop, elsewhere)
        if stop.signal_number is not None:
            done = sum(RunFolder.of(config).state() in COMPLETE for config in runs)
            say(
                f"interrupted: {done} of {len(runs)} runs are finished; type the same command "
                "again to continue the others"
            )
            return 128 + stop.signal_number
        say(f"trained in {duration(time.monotonic() - began)}")
    return _summarise(runs, failures)


def _tell_workers(_: int) -> None:
    """Passes a stop request on to the worker processes, which save their runs."""
    ours = psutil.Process()
    for child in ours.children(recursive=True):
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            # Others, such as the service of W&B, must live until the runs are saved.
            if child.exe() == ours.exe():
                child.send_signal(signal.SIGTERM)


def _prepare(configs: Sequence[RunConfig], elsewhere: bool) -> None:
    """Checks device, folders and data of every run, each once, before any run is started."""
    from resnet_study.experiment import prepare

    tried = set()
    for config in configs:
        place = (
            (config.data, config.device, config.runs_dir, config.schedule.batch_size),
            (config.start, config.model if config.start.run is not None else None),
        )
        if place not in tried:
            prepare(replace(config, device="cpu") if elsewhere else config, World())
            tried.add(place)
    check_space(configs)


def _check_finished(configs: Sequence[RunConfig]) -> None:
    """Checks that finished runs have the images and probes that are asked for."""
    folders = [c for c in configs if c.data.in_folder or c.probes.active]
    if folders:
        from resnet_study.store.finished import check_finished

        for config in folders:
            check_finished(config)


def _launch_until_done(
    configs: Sequence[RunConfig], launch: Launch, stop: StopRequest, elsewhere: bool
) -> dict[Path, str]:
    """Launches the runs left until each has ended or was started too often.

    Returns:
        Errors by folder, as the launcher reported them.
    """
    starts: Counter[Path] = Counter()
    failures: dict[Path, str] = {}
    left = {folder_of(config): config for config in configs}
    while left and not stop.requested:
        # Another sweep is training a run whose folder is held: wait for it. A launcher of
        # other machines knows its own jobs.
        free = [path for path in left if elsewhere or not RunFolder(path).held()]
        before = {path: _fingerprint(path) for path in free}
        crashed = False
        try:
            failures |= launch([left[path] for path in free], stop) if free else {}
        except BrokenExecutor:
            # A dead worker breaks its whole pool. The folders say which runs are left.
            if stop.requested:
                break
            crashed = True
            say("warning: a worker process died; its runs are started again")

        touched = {path for path in free if _fingerprint(path) != before[path]}
        states = {path: RunFolder.of(config).state() for path, config in left.items()}
        ended = {path for path, state in states.items() if state in (*COMPLETE, "damaged")}
        ended |= {path for path in touched if states[path] == "failed"} | failures.keys()
        # In a broken pool only some runs have begun. If none has, all are counted, because the
        # next attempt would end in the same way.
        starts.update((touched - ended or before.keys() - ended) if crashed else before.keys())
        ended |= {path for path, count in starts.items() if count >= ATTEMPTS}
        left = {path: config for path, config in left.items() if path not in ended}
        if left:
            # Another sweep may train them, or the rest of a broken pool may be saving its runs.
            time.sleep(_PATIENCE)
    return failures


def _fingerprint(folder: Path) -> bytes:
    """The manifest's bytes, which change whenever it is written."""
    try:
        return RunFolder(folder).manifest_file.read_bytes()
    except OSError:
        return b""


def _summarise(runs: Sequence[RunConfig], failures: dict[Path, str]) -> int:
    failed = 0
    for config in runs:
        folder, state = RunFolder.of(config), RunFolder.of(config).state() or "not started"
        if state == "finished":
            continue
        message = failures.get(folder_of(config), "")
        with suppress(OSError):
            if state == "failed":
                message = folder.failure_file.read_text(encoding="utf-8")
        if state != "diverged":
            failed += 1
            if state == "running":
                # A launcher that knows the reason prints it in the next line.
                died = "not finished, its worker died, perhaps for lack of memory"
                state = "not finished" if message else died
        say(f"{state}: {folder.path}")
        for line in message.strip().splitlines()[-2:]:
            say(f"  {line}")
    if failed:
        say(f"{failed} of {len(runs)} runs are not finished; type the same command again to retry")
    return 1 if failed else 0

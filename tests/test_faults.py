"""Kills and signals: what comes out is what would have come out without them."""

import random
import shutil
import signal
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from resnet_study.config import WarmupConfig
from resnet_study.experiment import run
from resnet_study.progress import Reporter
from resnet_study.store.folder import RunFolder
from resnet_study.system.errors import DataError
from resnet_study.system.interruption import Interrupted, StopRequest
from resnet_study.training import checkpoint as checkpoints
from tests.comparison import Stop, assert_same_end, curve, in_child, interrupted_at

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2, signal.SIGHUP)


@pytest.mark.slow
def test_fifty_kills_at_random_moments(config, undisturbed):
    """SIGKILL whenever, checkpoint writing included, then resume; compared at each end."""
    config = config(every=1)
    folder = RunFolder.of(config)
    for _ in range(2):  # The first one makes the server from which all others are forked.
        shutil.rmtree(folder.path, ignore_errors=True)
        began = time.monotonic()
        in_child(run, config).join()
    span = time.monotonic() - began
    rng = random.Random(1)
    kills = 0
    while kills < 50:
        child = in_child(run, config)
        child.join(timeout=rng.uniform(0.1, 0.9) * span)
        if child.is_alive():
            child.kill()
            kills += 1
        child.join()
        if folder.completed():
            assert_same_end(folder.path, undisturbed)
            shutil.rmtree(folder.path)
    run(config)
    assert_same_end(folder.path, undisturbed)
    assert not list(folder.path.glob(".*.*")), "temporaries were left behind"


def _ended_at(config, call: int, end: Callable[[], None]) -> None:
    """Trains until the given call that renames a file."""
    calls, rename = count(1), Path.replace

    def deadly(self, target):
        if next(calls) == call:
            end()
        return rename(self, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", deadly)
        run(config)


# Config, manifest, metrics and manifest come first; then four per checkpoint: temporary, rotation,
# new name, manifest.
@pytest.mark.slow
@pytest.mark.parametrize("call", range(1, 20))
def test_a_kill_at_every_rename_of_a_checkpoint(call, config, undisturbed):
    config = config(every=10)
    child = in_child(_ended_at, config, call, partial(signal.raise_signal, signal.SIGKILL))
    child.join()
    assert child.exitcode in (0, -signal.SIGKILL)
    assert_same_end(run(config).folder, undisturbed)


@pytest.mark.parametrize("call", [3, 6, 8])
def test_an_end_at_a_rename(call, config, undisturbed):
    config = config(every=10)
    with pytest.raises(pytest.fail.Exception):
        _ended_at(config, call, pytest.fail)
    assert_same_end(run(config).folder, undisturbed)


@pytest.mark.parametrize("number", STOPS)
def test_a_signal_saves_the_state_and_the_run_goes_on(number, config, undisturbed):
    config = config(every=1000)
    handlers = [signal.getsignal(number) for number in STOPS]
    with pytest.raises(Interrupted) as caught:
        run(config, Stop(17, number))
    assert (caught.value.signal_number, caught.value.iteration) == (number, 17)
    assert [signal.getsignal(number) for number in STOPS] == handlers
    assert StopRequest.active is None
    record = run(config)
    assert [signal.getsignal(number) for number in STOPS] == handlers
    assert [entry["iteration"] for entry in record.manifest["resumed"]] == [17]
    assert_same_end(record.folder, undisturbed)


def test_a_closed_terminal_stops_no_run_that_nohup_started(config, monkeypatch):
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run(config(every=1000), Stop(17, signal.SIGHUP)).state == "finished"
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, former)


def test_a_stop_right_after_a_checkpoint_keeps_the_one_before(config):
    folder = interrupted_at(config(every=5), 15)
    read = checkpoints.read
    assert read(folder.checkpoint_file).state["iteration"] == 15
    assert read(folder.previous_checkpoint_file).state["iteration"] == 10


class Fault(Reporter):
    """Raises an error after an iteration, as data do that cannot be read any more."""

    def iteration(self, iteration: int) -> None:
        if iteration == 17:
            raise DataError("data.stream.workers", 1, "a worker process has died")


def test_a_fault_of_the_data_loses_nothing(config, undisturbed):
    config = config(every=1000)
    with pytest.raises(DataError):
        run(config, Fault())
    record = run(config)
    assert [entry["iteration"] for entry in record.manifest["resumed"]] == [17]
    assert_same_end(record.folder, undisturbed)


def test_warmup_and_running_sums_survive(tiny, tmp_path):
    """Stopped between two rows, and within a warm-up that ends by error."""
    warmup = WarmupConfig(learning_rate=0.001, until_error=95.0, min_depth=0)
    schedule = {"iterations": 40, "milestones": (30,), "log_every": 7, "warmup": warmup}
    whole = run(tiny(schedule, runs_dir=str(tmp_path / "whole"))).folder
    cut = tiny(schedule)
    folder = interrupted_at(cut, 3, 11, 25)
    run(cut)
    assert {"0.001", "0.1"} <= {row["learning_rate"] for row in curve(whole)}
    assert_same_end(folder.path, whole)

"""What tests of interruption and damage share: comparing ends, stopping, child processes."""

import csv
import multiprocessing
import os
import signal
from pathlib import Path

import pytest
import torch

from resnet_study.experiment import run
from resnet_study.progress import Reporter
from resnet_study.store.folder import RunFolder
from resnet_study.system.interruption import Interrupted
from resnet_study.training import checkpoint as checkpoints

CHECKOUT = Path(__file__).resolve().parent.parent
TIMES = {"seconds", "images_per_second"}

# Children begin with torch imported, so that fifty of them take seconds, not minutes.
forkserver = multiprocessing.get_context("forkserver")
forkserver.set_forkserver_preload(["resnet_study.experiment"])


def curve(folder: Path) -> list[dict[str, str]]:
    rows = csv.DictReader((folder / "metrics.csv").read_text().splitlines())
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows]


def assert_same_end(one: Path, two: Path) -> None:
    """The same weights, momentum (or what else an optimiser keeps) and curve, bit for bit."""
    assert curve(one) == curve(two)
    a, b = (checkpoints.read(folder / "checkpoint.pt") for folder in (one, two))
    assert a.network.keys() == b.network.keys()
    assert all(torch.equal(a.network[name], b.network[name]) for name in a.network)
    buffers = [c.optimizer["state"].values() for c in (a, b)]
    assert buffers[0]
    for one_entry, other in zip(*buffers, strict=True):
        assert one_entry.keys() == other.keys()
        assert all(torch.equal(one_entry[name], other[name]) for name in one_entry)
    assert a.state["iteration"] == b.state["iteration"]


def hear_ctrl_c() -> None:
    """For a child about to start: a shell's background jobs are started deaf to SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def in_child(function, *arguments) -> multiprocessing.Process:
    process = forkserver.Process(target=function, args=arguments)
    process.start()
    return process


class Stop(Reporter):
    """Sends a signal to this process after an iteration."""

    def __init__(self, at: int, number: int) -> None:
        self.at, self.number = at, number

    def iteration(self, completed):
        if completed == self.at:
            os.kill(os.getpid(), self.number)


def interrupted_at(config, *iterations: int) -> RunFolder:
    for iteration in iterations:
        with pytest.raises(Interrupted):
            run(config, Stop(iteration, signal.SIGTERM))
    return RunFolder.of(config)

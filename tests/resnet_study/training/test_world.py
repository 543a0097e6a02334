"""One run in several processes: shares of each batch, batch norm in parts, one writer."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from torch import nn

from resnet_study.config import ModelConfig, ProbesConfig, StartConfig
from resnet_study.experiment import run
from resnet_study.models import build_network
from resnet_study.models.parts import normalise_in_parts
from resnet_study.store.folder import RunFolder
from resnet_study.system.errors import ConfigError, StorageError
from resnet_study.system.interruption import Interrupted, StopRequest
from resnet_study.training.world import World
from tests.comparison import CHECKOUT, Stop, assert_same_end, curve, forkserver
from tests.conftest import TINY


def _one_of(rank: int, size: int, port: int, call, arguments) -> None:
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_PORT")
    os.environ |= dict(zip(names, map(str, (rank, rank, size, size, port)), strict=True))
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    call(*arguments)


def in_processes(size: int, call, *arguments) -> None:
    """Calls a function in so many connected processes, which all shall end well."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    children = [
        forkserver.Process(target=_one_of, args=(rank, size, port, call, arguments))
        for rank in range(size)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(300)
    assert [child.exitcode for child in children] == [0] * size


@pytest.fixture
def shared(config):
    def make(parts: int = 1, **changes):
        # Torch's kernels everywhere: the fused ones do not apply to parts.
        return config(**{"kernels": "torch", "batch_norm_parts": parts, **changes})

    return make


def assert_same_to_rounding(one, two, loss: float = 2e-4) -> None:
    a, b = curve(one), curve(two)
    assert len(a) == len(b) > 5
    for x, y in zip(a, b, strict=True):
        for name in x:
            if not x[name] or name in ("iteration", "epoch", "learning_rate"):
                assert x[name] == y[name]
            elif name.endswith("loss"):
                assert float(x[name]) == pytest.approx(float(y[name]), rel=loss)
            else:
                # One image in 50, at most: a tie that rounding breaks.
                assert float(x[name]) == pytest.approx(float(y[name]), abs=2.1)


def probed(folder) -> list[list[str]]:
    return [line.split(",") for line in (folder / "probes.csv").read_text().splitlines()[1:]]


@pytest.mark.slow
@pytest.mark.parametrize("statistics", ["running", "recomputed"])
@pytest.mark.parametrize("parts", [1, 2])
def test_processes_make_the_curve_of_one_process(parts, statistics, shared, tmp_path):
    """Batch norm sees the whole batch, or in each process its part."""
    probes = ProbesConfig(gradients=True, responses=True, at=(0, 40), images=8)
    usual = shared(parts, probes=probes, runs_dir=str(tmp_path / "alone"))
    config = replace(usual, schedule=replace(usual.schedule, eval_statistics=statistics))
    alone = run(config)
    for size in (2, 4):
        together = replace(config, runs_dir=str(tmp_path / str(size)))
        in_processes(size, run, together)
        folder = RunFolder.of(together)
        assert_same_to_rounding(alone.folder, folder.path)
        manifest = folder.read_manifest()
        assert manifest["state"] == "finished"
        assert manifest["processes"] == size
        # Nothing but what one process leaves.
        assert {p.name for p in folder.path.iterdir()} == {p.name for p in alone.folder.iterdir()}
        # What probes find is found once and in the whole network.
        ours, theirs = probed(folder.path), probed(alone.folder)
        assert [row[:4] for row in ours] == [row[:4] for row in theirs]
        for a, b in zip(ours, theirs, strict=True):
            assert a[0] != "0" or float(a[4]) == pytest.approx(float(b[4]), rel=1e-4)


def stopped(config, at: int) -> None:
    """Only one of the processes is told."""
    reporter = Stop(at, signal.SIGTERM) if World.here().rank == 1 else None
    with pytest.raises(Interrupted):
        run(config, reporter)


@pytest.mark.slow
def test_a_run_goes_on_in_another_number_of_processes(shared, tmp_path):
    alone = run(shared(2, runs_dir=str(tmp_path / "alone")))
    config = shared(2, every=1000)
    # All stop after one iteration, at a moment when all are asked.
    in_processes(2, stopped, config, 7)
    warned = pytest.warns(UserWarning, match="was made with processes 2, resuming with 1")
    with warned, pytest.raises(Interrupted):
        run(config, Stop(23, signal.SIGTERM))
    in_processes(4, run, config)
    folder = RunFolder.of(config)
    manifest = folder.read_manifest()
    assert [entry["iteration"] for entry in manifest["resumed"]] == [10, 23]
    assert [machine["processes"] for machine in manifest["former_machines"]] == [2, 1]
    hosts = [machine["hosts"] for machine in manifest["former_machines"]]
    assert hosts == [[socket.gethostname()]] * 2
    assert_same_to_rounding(alone.folder, folder.path)


class StopWithinEvaluation(StopRequest):
    """Comes in rank 1 alone, the fourth time that it is asked for after some iteration."""

    def __init__(self) -> None:
        super().__init__(worker=True)
        self.asked = 0

    @property
    def requested(self) -> bool:
        self.asked += World.here().rank
        # Iterations 1 to 20 ask once each; the others are asked within the evaluation after 20.
        if self.asked > 22:
            self.signal_number = signal.SIGTERM
        return self.signal_number is not None


def stopped_within(config) -> None:
    with pytest.raises(Interrupted) as caught:
        run(config, stop=StopWithinEvaluation())
    assert caught.value.iteration == 20
    # Before the row of that evaluation.
    assert World.here().rank or "\n20," not in RunFolder.of(config).metrics_file.read_text()


@pytest.mark.slow
def test_a_stop_within_an_evaluation_is_everyones(shared, tmp_path):
    """One process has two chunks of images, the other one."""
    whole = shared(runs_dir=str(tmp_path / "whole"))
    in_processes(2, run, whole)
    config = shared(every=1000)
    in_processes(2, stopped_within, config)
    in_processes(2, run, config)
    assert_same_end(RunFolder.of(config).path, RunFolder.of(whole).path)


@pytest.mark.slow
def test_a_start_from_a_shallower_network_in_several_processes(shared, tmp_path):
    changes = {"start": StartConfig(depth=8), "model": ModelConfig(depth=14, width=4)}
    alone = run(shared(runs_dir=str(tmp_path / "alone"), **changes))
    together = shared(**changes)
    in_processes(2, run, together)
    folder = RunFolder.of(together)
    assert folder.read_manifest()["start"]["iteration"] == 40
    assert RunFolder.of(together.shallower()).completed()
    first, expected = (curve(path)[0]["clean_train_loss"] for path in (folder.path, alone.folder))
    assert float(first) == pytest.approx(float(expected), rel=1e-3)


def refused(config) -> None:
    with pytest.raises(StorageError, match="cannot be read"):
        run(config)


@pytest.mark.slow
def test_an_error_of_the_first_is_everyones(shared):
    folder = RunFolder.of(shared())
    folder.path.mkdir(parents=True)
    folder.manifest_file.write_text("{")
    in_processes(2, refused, shared())


def test_parts_are_normalised_apart():
    torch.manual_seed(0)
    images = torch.randn(12, 3, 8, 8)
    network, plain = (build_network(ModelConfig(depth=8, width=4), classes=5) for _ in range(2))
    normalise_in_parts(network, 3)
    assert network.state_dict().keys() == plain.state_dict().keys()
    assert not any(type(m) is nn.BatchNorm2d for m in network.modules())
    # One layer: batch norm after a convolution.
    apart = network.stem(images)
    beside = torch.cat([plain.stem(part) for part in images.chunk(3)])
    assert torch.allclose(apart, beside, atol=1e-6)
    gradient = torch.randn_like(apart)
    apart.backward(gradient)
    beside.backward(gradient)
    for a, b in zip(network.stem.parameters(), plain.stem.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, rtol=1e-4, atol=1e-4)
    # The running mean over parts, each seen once.
    means = torch.stack([plain.stem.conv(part).mean((0, 2, 3)) for part in images.chunk(3)])
    assert torch.allclose(network.stem.bn.running_mean, 0.1 * means.mean(0), atol=1e-6)


def test_parts_are_part_of_a_runs_name(shared):
    assert "-bn2-" in shared(2).run_id
    assert replace(shared(2), batch_norm_parts=1).run_id == shared(1).run_id


def test_what_cannot_be_shared_evenly(shared):
    with pytest.raises(ConfigError, match=r"batch_norm_parts=3: must be a divisor of"):
        shared(3)
    with pytest.raises(ConfigError, match=r"batch_size=16: must be a multiple of 3 processes"):
        World(0, 3, 0, 3).check(16, 1)
    with pytest.raises(ConfigError, match=r"parts=6: must be a divisor or a multiple of 4 proc"):
        World(0, 4, 0, 4).check(24, 6)
    World(0, 4, 0, 4).check(16, 2)
    World(0, 4, 0, 4).check(16, 8)


@pytest.fixture
def torchrun(tmp_path, cache):
    """Starts the command line in two processes, with the settings of a tiny run."""

    def start(*arguments: str, flags: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
             *("--standalone", "-m", "resnet_study", *flags, *TINY, "model.depth=8"),
             *(f"data.cache={cache}", f"runs_dir={tmp_path}", *arguments)],
            cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    return start


@pytest.mark.slow
def test_torchrun_trains_stops_and_goes_on(torchrun, tmp_path):
    long = ("schedule.iterations=1500", "schedule.milestones=[1000]", "checkpoint.every=100",
            "schedule.eval_every=1000", "schedule.log_every=10")  # fmt: skip
    process = torchrun(*long)
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob("*/*/checkpoint.pt")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.terminate()
    _, errors = process.communicate(timeout=300)
    assert errors.count("is saved; type the same command again") == 1
    (folder,) = tmp_path.glob("*/*")
    assert "-bn2-" in folder.name
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["processes"] == 2
    assert manifest["hosts"] == [socket.gethostname()]

    process = torchrun(*long)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert output == f"finished: {folder}\n"
    (resumed,) = json.loads((folder / "manifest.json").read_text())["resumed"]
    assert 0 < resumed["iteration"] < 1500


@pytest.mark.slow
@pytest.mark.parametrize(
    "word, flags, said",
    [
        ("schedule.batch_size=15", (), "batch_size=15: must be a multiple of 2 processes"),
        ("seed=0,1", ("--multirun",), "torchrun=2 processes: must start one run"),
    ],
)
def test_what_is_wrong_is_one_line_under_torchrun(torchrun, word, flags, said):
    process = torchrun(word, "batch_norm_parts=1", flags=flags)
    _, errors = process.communicate(timeout=300)
    assert process.returncode
    assert errors.count("error: ") == errors.count(said) == 1
    # What torchrun itself has to say of it has a traceback of its own.
    assert errors.count("Traceback") == 1
    assert "ChildFailedError" in errors

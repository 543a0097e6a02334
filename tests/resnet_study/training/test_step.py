"""Captured iterations: the eager ones, replayed; what a GPU does is held by tests marked gpu."""

from __future__ import annotations

import weakref

import pytest
import torch

from resnet_study.config import ModelConfig, ScheduleConfig
from resnet_study.errors import StudyWarning
from resnet_study.experiment import run
from resnet_study.models import build_network
from resnet_study.training import step as steps
from resnet_study.training.state import TrainingState
from resnet_study.training.step import CapturedStep, Step, build_optimizer, build_step
from tests.comparison import assert_same_end

CPU = torch.device("cpu")
SCHEDULE = ScheduleConfig(iterations=100, milestones=())
RATES = [0.01] * 5 + [0.1] * 4 + [0.01] * 3


class Recorded(CapturedStep):
    """Stands in for CUDA: a capture holds the operations and the rate, and trains nothing."""

    captures = 0

    def _capture(self):
        self.captures += 1
        places, rate = self.inputs, self.optimizer.param_groups[0]["lr"]

        def replay():
            # A graph knows memory, not Python: only what was copied into place counts.
            self._set(rate)
            self._iterate(places)

        return replay


def made(kind, device=CPU, seed=0):
    network = build_network(ModelConfig(depth=8, width=4), 10, seed).to(
        device, memory_format=torch.channels_last
    )
    state = TrainingState.initial(SCHEDULE, 8, device)
    return kind(network, build_optimizer(network, SCHEDULE), "fp32", state)


def batches(count, device=CPU):
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        images = torch.randn(16, 3, 8, 8, generator=generator)
        labels = torch.randint(0, 10, (16,), generator=generator)
        yield images.to(device, memory_format=torch.channels_last), labels.to(device)


def assert_equal_after_training(one: Step, two: Step, device=CPU):
    for step in (one, two):
        for batch, rate in zip(batches(len(RATES), device), RATES, strict=True):
            step(batch, rate)
    for a, b in zip(
        one.network.state_dict().values(), two.network.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b)
    momenta = [[s["momentum_buffer"] for s in step.optimizer.state.values()] for step in (one, two)]
    assert all(torch.equal(a, b) for a, b in zip(*momenta, strict=True))
    assert torch.equal(one.state.loss_sum, two.state.loss_sum)
    assert torch.equal(one.state.wrong, two.state.wrong)


def test_replayed_iterations_are_the_eager_ones():
    captured = made(Recorded)
    assert_equal_after_training(made(Step), captured)
    # Three eager iterations, then one capture for each stretch of one rate.
    assert captured.captures == 3


@pytest.mark.skipif(torch.cuda.is_available(), reason="there a capture succeeds")
def test_where_nothing_can_be_captured_training_goes_on_eagerly():
    captured = made(CapturedStep)
    with pytest.warns(StudyWarning, match="no CUDA graph .*; training goes on eagerly"):
        assert_equal_after_training(made(Step), captured)


def test_a_capture_that_fails_half_way_leaves_nothing_behind():
    class Failing(CapturedStep):
        def _capture(self):
            # In evaluation mode: what a device only records leaves no trace in batch norm.
            logits = self.network.eval()(self.inputs[0])
            self.network.train()
            held.append(weakref.ref(logits))
            raise RuntimeError("out of memory")

        def _iterate(self, batch):
            assert not any(kept() is not None for kept in held), "memory of the capture is held"
            super()._iterate(batch)

    held = []
    with pytest.warns(StudyWarning, match="no CUDA graph .out of memory.; training goes on"):
        assert_equal_after_training(made(Step), made(Failing))
    assert len(held) == 1


def test_a_run_with_captured_iterations_resumes_to_the_same_end(config, undisturbed, monkeypatch):
    from tests.comparison import interrupted_at

    monkeypatch.setattr(steps, "Step", Recorded)
    folder = interrupted_at(config(), 7, 16)
    run(config())
    assert_same_end(folder.path, undisturbed)


def test_the_cpu_has_no_graphs():
    network = build_network(ModelConfig(depth=8, width=4), 10)
    state = TrainingState.initial(SCHEDULE, 8, CPU)
    assert type(build_step(network, build_optimizer(network, SCHEDULE), "fp32", state)) is Step


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_graph_computes_what_eager_iterations_do(precision):
    device = torch.device("cuda")
    torch.backends.cudnn.deterministic = True
    eager, captured = made(Step, device), made(CapturedStep, device)
    eager.precision = captured.precision = precision
    assert_equal_after_training(eager, captured, device)
    assert captured.replay is not None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_what_cannot_be_captured_goes_on_eagerly_on_a_gpu():
    device = torch.device("cuda")
    torch.backends.cudnn.deterministic = True

    def assemble(images, labels):
        assert images.sum().item() < 1e9  # waits for the device, which a capture forbids
        return images, labels

    eager, captured = made(Step, device), made(CapturedStep, device)
    captured.assemble = assemble
    with pytest.warns(StudyWarning, match="no CUDA graph"):
        assert_equal_after_training(eager, captured, device)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_whole_run_with_graphs_is_the_eager_one(config, tmp_path, monkeypatch):
    graphs = run(config(device="cuda", runs_dir=str(tmp_path / "graphs"))).folder
    monkeypatch.setattr(steps, "CapturedStep", Step)
    eager = run(config(device="cuda", runs_dir=str(tmp_path / "eager"))).folder
    assert_same_end(graphs, eager)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_run_on_a_gpu_resumes_to_the_same_end(config, tmp_path):
    from tests.comparison import interrupted_at

    whole = run(config(device="cuda", runs_dir=str(tmp_path / "whole"))).folder
    folder = interrupted_at(config(device="cuda"), 7, 16)
    assert_same_end(whole, run(config(device="cuda")).folder)
    assert folder.read_manifest()["device"] == "cuda"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_begins_as_the_cpu_does(tiny, tmp_path):
    from tests.comparison import curve

    rows = [
        curve(run(tiny({"log_every": 1}, device=device, runs_dir=str(tmp_path / device))).folder)
        for device in ("cpu", "cuda")
    ]
    losses = [[float(row["train_loss"]) for row in found] for found in rows]
    assert losses[0][0] == pytest.approx(losses[1][0], rel=1e-4)
    assert losses[0] == pytest.approx(losses[1], rel=0.2)

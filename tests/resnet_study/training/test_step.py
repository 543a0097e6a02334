"""Captured iterations: the eager ones, replayed; what a GPU does is held by tests marked gpu."""

import weakref

import pytest
import torch

from resnet_study.config import ModelConfig, ScheduleConfig
from resnet_study.experiment import run
from resnet_study.models import build_network
from resnet_study.system.errors import StudyWarning
from resnet_study.training import step as steps
from resnet_study.training.state import TrainingState
from resnet_study.training.step import CapturedStep, Step, build_optimizer, build_step
from tests.comparison import assert_same_end, curve, interrupted_at

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
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


def made(kind, device=CPU, precision="fp32"):
    schedule = ScheduleConfig(iterations=100, milestones=())
    network = build_network(ModelConfig(depth=8, width=4), 10, 0)
    network.to(device, memory_format=torch.channels_last)
    state = TrainingState.initial(schedule, 8, device)
    return kind(network, build_optimizer(network, schedule), precision, state)


def assert_equal_after_training(one: Step, two: Step, device=CPU):
    for step in (one, two):
        generator = torch.Generator().manual_seed(0)
        for rate in RATES:
            images = torch.randn(16, 3, 8, 8, generator=generator).to(device)
            labels = torch.randint(0, 10, (16,), generator=generator).to(device)
            step((images.to(memory_format=torch.channels_last), labels), rate)
    pairs = zip(one.network.state_dict().values(), two.network.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
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
    assert type(made(build_step)) is Step
    with pytest.warns(StudyWarning, match="no CUDA graph .*; training goes on eagerly"):
        assert_equal_after_training(made(Step), made(CapturedStep))


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
    monkeypatch.setattr(steps, "Step", Recorded)
    folder = interrupted_at(config(), 7, 16)
    run(config())
    assert_same_end(folder.path, undisturbed)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
class TestOnAGpu:
    @pytest.mark.parametrize("precision", ["fp32", "bf16"])
    def test_a_graph_computes_what_eager_iterations_do(self, precision):
        torch.backends.cudnn.deterministic = True
        captured = made(CapturedStep, CUDA, precision)
        assert_equal_after_training(made(Step, CUDA, precision), captured, CUDA)
        assert captured.replay is not None

    def test_what_cannot_be_captured_goes_on_eagerly(self):
        torch.backends.cudnn.deterministic = True

        def assemble(images, labels):
            assert images.sum().item() < 1e9  # waits for the device, which a capture forbids
            return images, labels

        captured = made(CapturedStep, CUDA)
        captured.assemble = assemble
        with pytest.warns(StudyWarning, match="no CUDA graph"):
            assert_equal_after_training(made(Step, CUDA), captured, CUDA)

    def test_a_whole_run_with_graphs_is_the_eager_one(self, config, tmp_path, monkeypatch):
        graphs = run(config(device="cuda", runs_dir=str(tmp_path / "graphs"))).folder
        monkeypatch.setattr(steps, "CapturedStep", Step)
        eager = run(config(device="cuda", runs_dir=str(tmp_path / "eager"))).folder
        assert_same_end(graphs, eager)

    def test_a_run_resumes_to_the_same_end(self, config, tmp_path):
        whole = run(config(device="cuda", runs_dir=str(tmp_path / "whole"))).folder
        folder = interrupted_at(config(device="cuda"), 7, 16)
        assert_same_end(whole, run(config(device="cuda")).folder)
        assert folder.read_manifest()["device"] == "cuda"

    def test_it_begins_as_the_cpu_does(self, tiny, tmp_path):
        on_cpu, on_gpu = (
            curve(run(tiny({"log_every": 1}, device=name, runs_dir=str(tmp_path / name))).folder)
            for name in ("cpu", "cuda")
        )
        losses = [[float(row["train_loss"]) for row in rows] for rows in (on_cpu, on_gpu)]
        assert losses[0][0] == pytest.approx(losses[1][0], rel=1e-4)
        assert losses[0] == pytest.approx(losses[1], rel=0.2)

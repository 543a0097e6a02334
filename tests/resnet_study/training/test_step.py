"""Captured iterations: the eager ones, replayed; what a GPU does is held by tests marked gpu."""

import weakref
from dataclasses import asdict

import pytest
import torch

from resnet_study.config import ModelConfig, ScheduleConfig, WarmupConfig
from resnet_study.experiment import run
from resnet_study.models import build_network
from resnet_study.system.errors import StudyWarning
from resnet_study.training import step as steps
from resnet_study.training.checkpoint import Checkpoint, restore
from resnet_study.training.state import TrainingState
from resnet_study.training.step import CapturedStep, Step, build_optimizer, build_step
from tests.comparison import assert_same_end, curve, interrupted_at

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
RATES = [0.01] * 5 + [0.1] * 4 + [0.01] * 3
# One of which no two are alike.
CHANGING = [0.1 / (1 + i) for i in range(12)]
OPTIMIZERS = {"sgd": {}, "adamw": {"optimizer": "adamw"}}
# A rate that changes in every iteration, first up and then down.
COSINE = {"decay": "cosine", "milestones": ()}
RAMP = WarmupConfig(start_rate=0.01, iterations=8, until_error=None, min_depth=0)
MODERN = COSINE | {"optimizer": "adamw", "learning_rate": 0.01, "warmup": RAMP}


class Recorded(CapturedStep):
    """Stands in for CUDA: a capture holds the operations and the rate, and trains nothing."""

    captures = 0

    def _capture(self):
        self.captures += 1
        (group,) = self.optimizer.param_groups
        places, rate = self.inputs, group["lr"]

        def replay():
            # A graph knows memory, not Python: only what was copied into place counts, and of
            # a rate that is a tensor what the tensor is filled with.
            group["lr"] = rate
            self._iterate(places)

        return replay


def made(kind, device=CPU, precision="fp32", **settings):
    schedule = ScheduleConfig(**({"iterations": 100, "milestones": ()} | settings))
    network = build_network(ModelConfig(depth=8, width=4), 10, 0)
    network.to(device, memory_format=torch.channels_last)
    state = TrainingState.initial(schedule, 8, device)
    return kind(network, build_optimizer(network, schedule), precision, state)


def assert_equal_after_training(one: Step, two: Step, device=CPU, rates=RATES):
    for step in (one, two):
        generator = torch.Generator().manual_seed(0)
        for rate in rates:
            images = torch.randn(16, 3, 8, 8, generator=generator).to(device)
            labels = torch.randint(0, 10, (16,), generator=generator).to(device)
            step((images.to(memory_format=torch.channels_last), labels), rate)
    pairs = zip(one.network.state_dict().values(), two.network.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    entries = [step.optimizer.state.values() for step in (one, two)]
    kept = [[tensor for entry in of for tensor in entry.values()] for of in entries]
    assert kept[0]
    assert all(torch.equal(a, b) for a, b in zip(*kept, strict=True))
    assert torch.equal(one.state.loss_sum, two.state.loss_sum)
    assert torch.equal(one.state.wrong, two.state.wrong)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_replayed_iterations_are_the_eager_ones(optimizer):
    settings = OPTIMIZERS[optimizer]
    captured = made(Recorded, **settings)
    assert_equal_after_training(made(Step, **settings), captured)
    # Three eager iterations, then one capture for each stretch of one rate.
    assert captured.captures == 3


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_rate_that_is_a_tensor_is_captured_once_and_followed(optimizer):
    settings = OPTIMIZERS[optimizer]
    captured = made(Recorded, **settings)
    # In float64, so that it is the number exactly; a GPU's kernels take float32 alone.
    rate = torch.tensor(1.0, dtype=torch.float64)
    captured.optimizer.param_groups[0]["lr"] = rate
    assert_equal_after_training(made(Step, **settings), captured, rates=CHANGING)
    assert captured.captures == 1
    assert captured.optimizer.param_groups[0]["lr"] is rate
    assert float(rate) == CHANGING[-1]


def test_on_a_cpu_the_rate_stays_a_number():
    for settings in (COSINE, MODERN, {}):
        assert type(made(Step, **settings).optimizer.param_groups[0]["lr"]) is float


def test_adamw_decays_weights_apart_from_the_gradient():
    step = made(Step, optimizer="adamw", weight_decay=0.5)
    weight = step.network.head.weight
    before = weight.detach().clone()
    weight.grad = torch.zeros_like(weight)
    step._set(0.1)
    step.optimizer.step()
    torch.testing.assert_close(weight.detach(), before * (1 - 0.1 * 0.5))


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


def test_a_run_with_adamw_a_ramp_and_a_cosine_resumes_to_the_same_end(tiny, tmp_path):
    def described(folder):
        return tiny(MODERN | {"log_every": 1}, runs_dir=str(tmp_path / folder))

    whole = run(described("whole")).folder
    # In the ramp and after it.
    interrupted_at(described("resumed"), 5, 10)
    resumed = run(described("resumed")).folder
    assert_same_end(whole, resumed)
    rates = [float(row["learning_rate"]) for row in curve(whole)]
    expected = [0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.00853553, 0.005, 0.00146447]
    assert rates == pytest.approx(expected, rel=1e-5)


def with_rate(rate) -> Step:
    """A step whose optimiser has the rate in this form, after one iteration."""
    step = made(Step)
    step.optimizer.param_groups[0]["lr"] = rate
    step((torch.ones(4, 3, 8, 8), torch.arange(4)), 0.5)
    return step


@pytest.mark.parametrize("saved, own", [(0.1, torch.tensor(0.1)), (torch.tensor(0.1), 0.1)])
def test_a_checkpoint_does_not_say_in_which_form_the_rate_is(saved, own):
    """A run that began on a CPU, where the rate is a number, may go on on a GPU."""
    former, step = with_rate(saved), with_rate(own)
    state = {"network": former.network.state_dict(), "optimizer": former.optimizer.state_dict()}
    checkpoint = Checkpoint({}, "", {}, state=asdict(former.state), metrics="", **state)
    step.optimizer.param_groups[0]["weight_decay"] = 0.125
    restore(checkpoint, step.network, step.optimizer, CPU)
    (group,) = step.optimizer.param_groups
    assert (type(group["lr"]), group["weight_decay"]) == (type(own), 0.125)
    for ours, theirs in zip(*(s.optimizer.state.values() for s in (step, former)), strict=True):
        assert torch.equal(ours["momentum_buffer"], theirs["momentum_buffer"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
class TestOnAGpu:
    @pytest.mark.parametrize("precision", ["fp32", "bf16"])
    def test_a_graph_computes_what_eager_iterations_do(self, precision):
        torch.backends.cudnn.deterministic = True
        captured = made(CapturedStep, CUDA, precision)
        assert_equal_after_training(made(Step, CUDA, precision), captured, CUDA)
        assert captured.replay is not None

    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    def test_a_rate_that_changes_in_every_iteration_is_captured_once(self, optimizer, monkeypatch):
        torch.backends.cudnn.deterministic = True
        capture, captures = CapturedStep._capture, []
        monkeypatch.setattr(
            CapturedStep, "_capture", lambda step: captures.append(step) or capture(step)
        )
        settings = COSINE | OPTIMIZERS[optimizer]
        captured = made(CapturedStep, CUDA, **settings)
        assert_equal_after_training(made(Step, CUDA, **settings), captured, CUDA, CHANGING)
        rate = captured.optimizer.param_groups[0]["lr"]
        assert (rate.device.type, rate.dtype) == ("cuda", torch.float32)
        assert float(rate) == pytest.approx(CHANGING[-1])
        assert captured.replay is not None
        assert len(captures) == 1

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

    def test_a_run_with_adamw_a_ramp_and_a_cosine_goes_on_from_a_cpus_checkpoint(self, tiny):
        folder = interrupted_at(tiny(MODERN, device="cpu"), 7)
        with pytest.warns(StudyWarning, match="was made with"):
            record = run(tiny(MODERN, device="cuda"))
        assert (record.state, record.folder) == ("finished", folder.path)

    def test_a_whole_run_with_adamw_a_ramp_and_a_cosine_is_the_eager_one(
        self, tiny, tmp_path, monkeypatch
    ):
        graphs = run(tiny(MODERN, device="cuda", runs_dir=str(tmp_path / "graphs"))).folder
        monkeypatch.setattr(steps, "CapturedStep", Step)
        eager = run(tiny(MODERN, device="cuda", runs_dir=str(tmp_path / "eager"))).folder
        assert_same_end(graphs, eager)

    def test_it_begins_as_the_cpu_does(self, tiny, tmp_path):
        on_cpu, on_gpu = (
            curve(run(tiny({"log_every": 1}, device=name, runs_dir=str(tmp_path / name))).folder)
            for name in ("cpu", "cuda")
        )
        losses = [[float(row["train_loss"]) for row in rows] for rows in (on_cpu, on_gpu)]
        assert losses[0][0] == pytest.approx(losses[1][0], rel=1e-4)
        assert losses[0] == pytest.approx(losses[1], rel=0.2)

"""The loop against an independent optimiser, and what it logs."""

import math
from itertools import pairwise
from statistics import mean

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from resnet_study.config import ScheduleConfig, WarmupConfig
from resnet_study.system.interruption import StopRequest
from resnet_study.training.evaluation import evaluate
from resnet_study.training.events import Begun, Completed, Row
from resnet_study.training.loop import train
from resnet_study.training.schedule import learning_rate
from resnet_study.training.state import TrainingState
from resnet_study.training.step import Step, build_optimizer
from resnet_study.training.world import World


def batches(count=100):
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(8, 3, 4, 4, generator=generator), torch.randint(5, (8,), generator=generator))
        for _ in range(count)
    ]


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 5))


class Bare:
    """What the loop needs of a trainer, with a network of one layer."""

    fresh, starts_from_weights = True, False
    train_images, world = 40, World()

    def __init__(self, net, data, schedule):
        self.schedule, self.data = schedule, data
        self.state = TrainingState.initial(schedule, 20, torch.device("cpu"))
        self.step = Step(net, build_optimizer(net, schedule), "fp32", self.state)

    @property
    def learning_rate(self):
        state = self.state
        return learning_rate(self.schedule, state.iteration, state.warming, state.drops)

    def batches(self):
        yield from self.data[self.state.iteration :]

    def evaluate(self, row, stop):
        clean, test = (evaluate(self.step.network, batches(n), "fp32") for n in (2, 3))
        row.clean_train_loss, row.clean_train_error = clean.loss, clean.error
        row.test_loss, row.test_error = test.loss, test.error


def run(net, data=None, **options):
    """Trains for ten iterations; returns whether it diverged, rows, iterations, and state."""
    defaults = {
        "iterations": 10, "batch_size": 8, "milestones": (4, 8), "eval_every": 5, "log_every": 2,
        "warmup": WarmupConfig(until_error=None),
    }  # fmt: skip
    trainer = Bare(net, data or batches(), ScheduleConfig(**(defaults | options)))
    first, *events, last = train(trainer, StopRequest())
    assert isinstance(first, Begun)
    rows = [event for event in events if isinstance(event, Row)]
    iterations = [event.iteration for event in events if isinstance(event, Completed)]
    assert len(rows) + len(iterations) == len(events)
    return last.diverged, rows, iterations, trainer.state


def test_weights_equal_sgd_written_out():
    """Momentum 0.9, not Nesterov's; decay on all parameters; rate by iteration."""
    net, reference = network(), network()
    run(net, weight_decay=0.01)
    velocity = [torch.zeros_like(p) for p in reference.parameters()]
    for iteration, (images, labels) in enumerate(batches(10)):
        rate = 0.1 * 0.1 ** ((iteration >= 4) + (iteration >= 8))
        loss = F.cross_entropy(reference(images), labels)
        gradients = torch.autograd.grad(loss, list(reference.parameters()))
        with torch.no_grad():
            for p, g, v in zip(reference.parameters(), gradients, velocity, strict=True):
                v.mul_(0.9).add_(g + 0.01 * p)
                p.sub_(rate * v)
    for ours, expected in zip(net.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)


def test_rows_come_at_their_iterations_with_the_rate_that_was_used():
    diverged, rows, iterations, _ = run(network())
    assert not diverged
    assert iterations == list(range(1, 11))
    assert [row.iteration for row in rows] == [2, 4, 5, 6, 8, 10]
    rates = [0.1, 0.1, 0.01, 0.01, 0.01, 0.001]
    assert [row.learning_rate for row in rows] == pytest.approx(rates)
    assert [row.epoch for row in rows] == [0.4, 0.8, 1.0, 1.2, 1.6, 2.0]
    assert [row.iteration for row in rows if row.test_error is not None] == [5, 10]
    assert all(a.seconds < b.seconds for a, b in pairwise(rows))


def test_training_error_is_the_running_mean_since_the_last_row():
    net = network()
    _, rows, _, _ = run(net, learning_rate=1e-12, iterations=5, milestones=(), momentum=0.0)
    wrongs = [(net(x).argmax(1) != y).sum().item() for x, y in batches(5)]
    losses = [F.cross_entropy(net(x), y).item() for x, y in batches(5)]
    for row, part in zip(rows, (slice(0, 2), slice(2, 4), slice(4, 5)), strict=True):
        assert row.train_error == pytest.approx(100 * mean(wrongs[part]) / 8)
        assert row.train_loss == pytest.approx(mean(losses[part]))


def test_a_loss_that_is_not_finite_ends_the_run_with_its_curve():
    data = batches()
    data[5] = (data[5][0] * math.inf, data[5][1])
    diverged, rows, iterations, _ = run(network(), data)
    assert diverged
    assert [row.iteration for row in rows] == [2, 4, 5, 6]
    assert [math.isfinite(row.train_loss) for row in rows] == [True] * 3 + [False]
    assert iterations[-1] == 5


def test_warmup_by_error_ends_at_a_logged_row():
    warmup = WarmupConfig(learning_rate=0.003, until_error=100, min_depth=0)
    _, rows, _, state = run(network(), log_every=3, warmup=warmup, milestones=())
    # Five classes: the first row's error is below 100 %, so the full rate follows it.
    rates = [(row.iteration, row.learning_rate) for row in rows]
    assert rates[:2] == [(3, 0.003), (5, 0.1)]
    assert not state.warming

"""The table of optimisers: what each does with weights, and what it keeps."""

import pytest
import torch
from torch import nn

from resnet_study.config import ScheduleConfig
from resnet_study.training.optimizers import OPTIMIZERS
from resnet_study.training.step import build_optimizer


def after_steps(name: str, gradients: list[float], **settings) -> tuple[nn.Linear, dict]:
    """A layer whose weights were 1, after a step for each gradient, and what is kept of them."""
    layer = nn.Linear(8, 8, bias=False)
    nn.init.ones_(layer.weight)
    schedule = ScheduleConfig(optimizer=name, learning_rate=0.1, **settings)
    optimizer = build_optimizer(layer, schedule)
    for gradient in gradients:
        layer.weight.grad = torch.full_like(layer.weight, gradient)
        optimizer.step()
    return layer, optimizer.state[layer.weight]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_table_says_how_many_tensors_are_kept_of_each_parameter(name):
    layer, kept = after_steps(name, [1.0])
    sizes = [tensor.shape for tensor in kept.values() if tensor.ndim]
    assert sizes == [layer.weight.shape] * OPTIMIZERS[name].tensors


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_momentum_moves_weights_where_the_table_says_so(name):
    # Written into the object: the config resets what has no effect.
    with_default, without = ScheduleConfig(optimizer=name), ScheduleConfig(optimizer=name)
    object.__setattr__(without, "momentum", 0.0)
    ends = []
    for schedule in (with_default, without):
        layer = nn.Linear(4, 4, bias=False)
        nn.init.ones_(layer.weight)
        optimizer = build_optimizer(layer, schedule)
        for _ in range(2):
            layer.weight.grad = torch.ones_like(layer.weight)
            optimizer.step()
        ends.append(layer.weight.detach())
    assert torch.equal(*ends) != OPTIMIZERS[name].momentum


def test_sgd_has_momentum_that_is_not_nesterovs_and_decay_in_the_gradient():
    layer, _ = after_steps("sgd", [1.0, 1.0], momentum=0.9, weight_decay=0.5)
    # Steps of 1.5, and of 0.9 × 1.5 + 1 + 0.5 × 0.85.
    assert layer.weight.detach().unique().tolist() == pytest.approx([0.85 - 0.2775])


def test_adamw_decays_weights_apart_from_the_gradient():
    layer, _ = after_steps("adamw", [0.0], weight_decay=0.5)
    assert layer.weight.detach().unique().tolist() == pytest.approx([1 - 0.1 * 0.5])
    # The first step is as long as the rate, whatever the gradient.
    layer, _ = after_steps("adamw", [3.0], weight_decay=0.0)
    assert layer.weight.detach().unique().tolist() == pytest.approx([0.9])

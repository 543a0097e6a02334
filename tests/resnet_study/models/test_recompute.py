"""Activation checkpointing: less memory, the same run; and so 1202 layers train."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
import torch
from torch.nn import functional as F

from resnet_study.config import ModelConfig
from resnet_study.experiment import run
from resnet_study.models import build_network
from resnet_study.system import machine


@pytest.mark.parametrize("settings", [{"depth": 20}, {"architecture": "imagenet", "depth": 50}])
def test_gradients_and_statistics_are_the_same_to_the_bit(settings):
    config = ModelConfig(width=4, **settings)
    networks = [build_network(config, 10, activation_checkpointing=on) for on in (False, True)]
    images = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for network in networks:
        F.cross_entropy(network(images), torch.arange(16) % 10).backward()
    one, two = (
        {name: p.grad for name, p in network.named_parameters()} | dict(network.named_buffers())
        for network in networks
    )
    torch.testing.assert_close(one, two, rtol=0, atol=0)


def added_memory(activation_checkpointing: bool) -> int:
    """How far a step with 64 images raises the peak of this process beyond one with two."""
    torch.set_num_threads(1)
    config = ModelConfig(depth=110)
    network = build_network(config, 10, activation_checkpointing=activation_checkpointing)
    network.to(memory_format=torch.channels_last)
    peaks = []
    for count in (2, 64):
        images = torch.randn(count, 3, 32, 32).to(memory_format=torch.channels_last)
        F.cross_entropy(network(images), torch.arange(count) % 10).backward()
        peaks.append(machine.peak_memory(torch.device("cpu")))
    return peaks[1] - peaks[0]


@pytest.mark.slow
def test_it_takes_less_than_half_of_the_memory(monkeypatch):
    # Freed blocks go back to the system at once, so that the peak is what was in use.
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")
    spawn = get_context("spawn")
    with ProcessPoolExecutor(1, spawn, max_tasks_per_child=1) as processes:
        without, used = processes.map(added_memory, (False, True))
    assert used < 0.5 * without


@pytest.mark.slow
def test_1202_layers_train(tiny):
    model = ModelConfig(depth=1202, width=4)
    steps = {"iterations": 2, "milestones": (), "eval_every": 2}
    record = run(tiny(steps, model=model, activation_checkpointing=True))
    assert record.state == "finished"

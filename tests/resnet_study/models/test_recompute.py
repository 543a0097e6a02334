"""Activation checkpointing: less memory, the same run; and so 1202 layers train."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from resnet_study.config import ModelConfig, WarmupConfig
from resnet_study.experiment import run
from resnet_study.models import build_network
from tests.comparison import assert_same_end, curve


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "plain", "depth": 20},
        {"shortcut": "A", "depth": 20},
        {"shortcut": "C", "depth": 20},
        {"architecture": "imagenet", "shortcut": "B", "depth": 50},
    ],
)
def test_gradients_and_statistics_are_the_same_to_the_bit(settings):
    config = ModelConfig(width=4, **settings)
    networks = [build_network(config, 10, activation_checkpointing=on) for on in (False, True)]
    images = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for network in networks:
        F.cross_entropy(network(images), torch.arange(16) % 10).backward()
    one, two = networks
    for (name, a), b in zip(one.named_parameters(), two.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad), name
    for (name, a), b in zip(one.named_buffers(), two.buffers(), strict=True):
        assert torch.equal(a, b), name


def test_the_run_is_the_same(tiny, tmp_path):
    model = ModelConfig(kind="residual", depth=14, width=4)
    folders = [
        run(tiny(model=model, activation_checkpointing=on, runs_dir=str(tmp_path / str(on)))).folder
        for on in (False, True)
    ]
    assert_same_end(*folders)


MEMORY = """
import re, sys, torch
from torch.nn import functional as F
from resnet_study.config import ModelConfig
from resnet_study.models import build_network
torch.set_num_threads(1)
network = build_network(ModelConfig(depth=110), 10, activation_checkpointing=sys.argv[1] == "on")
network.to(memory_format=torch.channels_last)
def step(n):
    images = torch.randn(n, 3, 32, 32).to(memory_format=torch.channels_last)
    F.cross_entropy(network(images), torch.arange(n) % 10).backward()
def read():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
step(2)  # libraries and gradients are loaded
before = read()
step(64)
print(read() - before)
"""


@pytest.mark.slow
def test_it_takes_less_than_half_of_the_memory():
    # Freed blocks go back to the system at once, so that the peak is what was in use.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    without, used = (
        int(subprocess.check_output([sys.executable, "-c", MEMORY, on], env=environment))
        for on in ("off", "on")
    )
    assert used < 0.5 * without


@pytest.mark.slow
def test_1202_layers_train_with_a_warm_up(tiny):
    """A few iterations; He et al. 2015 train 19.4 million parameters at this depth."""
    config = tiny(
        model=ModelConfig(kind="residual", depth=1202, width=4),
        schedule={
            "iterations": 3,
            "milestones": (2,),
            "log_every": 1,
            "eval_every": 3,
            "warmup": WarmupConfig(iterations=1, until_error=None),
        },
        activation_checkpointing=True,
    )
    record = run(config)
    assert record.state == "finished"
    assert [float(row["learning_rate"]) for row in curve(record.folder)] == [0.01, 0.1, 0.01]

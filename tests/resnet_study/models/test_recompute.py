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
from tests.comparison import assert_same_end


@pytest.mark.parametrize("kind, shortcut", [("plain", None), ("residual", "A"), ("residual", "C")])
def test_gradients_and_statistics_are_the_same_to_the_bit(kind, shortcut):
    config = ModelConfig(kind=kind, shortcut=shortcut, depth=20, width=4)
    networks = [build_network(config, 10, activation_checkpointing=on) for on in (False, True)]
    images = torch.randn(16, 3, 16, 16, generator=torch.Generator().manual_seed(0))
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


def test_it_takes_less_than_half_of_the_memory():
    used = {}
    for setting in ("off", "on"):
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, setting],
            capture_output=True,
            text=True,
            check=True,
            # Freed blocks go back to the system at once, so that the peak is what was in use.
            env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"},
        )
        used[setting] = int(done.stdout)
    print(used)
    assert used["on"] < 0.5 * used["off"]


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
    rows = (record.folder / "metrics.csv").read_text().splitlines()
    rates = [float(line.split(",")[2]) for line in rows[1:]]
    assert rates == pytest.approx([0.01, 0.1, 0.01])
    assert record.manifest["peak_memory_bytes"] > 0

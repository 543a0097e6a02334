"""What is found out about a machine, whatever it is."""

from __future__ import annotations

import multiprocessing
import platform
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from resnet_study import machine
from resnet_study.config import ModelConfig, RunConfig
from resnet_study.errors import ConfigError, DeviceError
from resnet_study.experiment import run


@pytest.mark.parametrize(
    "flags, expected",
    [
        ("vendor_id : AuthenticAMD\nflags : fpu avx2 avx512f avx512_bf16", "bf16"),
        ("vendor_id : GenuineIntel\nflags : fpu avx2 avx512f avx512_bf16", "fp32"),
        ("vendor_id : GenuineIntel\nflags : fpu avx512_bf16 amx_bf16", "bf16"),
        ("flags : fpu avx2 amx_bf16 amx_tile", "bf16"),
        ("Features : asimd bf16 i8mm", "bf16"),
        ("flags : fpu avx2 avx512f", "fp32"),
        ("model name : bf16", "fp32"),
    ],
)
def test_bf16_is_fast_where_the_processor_has_it(flags, expected, monkeypatch):
    text = f"processor : 0\n{flags}\n"
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: text)
    assert machine.fastest_precision(torch.device("cpu")) == expected


def test_auto_names_a_precision_before_the_run_is_described(command):
    done = command("precision=auto", "model.depth=8", "model.kind=plain")
    assert done.returncode == 0, done.stderr
    precision = machine.fastest_precision(torch.device("cpu"))
    folder = Path(done.stdout.split(": ", 1)[1].strip())
    assert ("bf16" in folder.name) == (precision == "bf16")
    assert f"precision: {precision}" in (folder / "config.yaml").read_text()
    with pytest.raises(Exception, match="allowed are fp32, bf16"):
        RunConfig(precision="auto")


def test_freed_memory_is_kept_where_glibc_listens():
    assert machine._keep_freed_memory() == (platform.libc_ver()[0] == "glibc")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_a_runs_peak_memory_is_its_own(tiny):
    small, large = tiny(seed=1), tiny({"batch_size": 200, "eval_train_images": None}, seed=2,
                                      model=ModelConfig(depth=110, width=32))  # fmt: skip
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as alone, ProcessPoolExecutor(1, context) as worker:
        expected = alone.submit(peak_of, small).result()
        big = worker.submit(peak_of, large).result()
        after = worker.submit(peak_of, replace(small, seed=3)).result()
    assert big > expected + 100e6
    assert after < expected + 0.3 * (big - expected)


def peak_of(config):
    return run(config).manifest["peak_memory_bytes"]


@pytest.mark.parametrize(
    "name, gpus, expected",
    [("auto", 0, "cpu"), ("auto", 2, "cuda:0"), ("cpu", 2, "cpu"), ("cuda", 1, "cuda:0"),
     ("cuda:1", 2, "cuda:1")],
)  # fmt: skip
def test_a_device_is_one_that_is_there(name, gpus, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert str(machine.choose_device(name)) == expected
    with pytest.raises(DeviceError, match=r"device=cuda:7: "):
        machine.choose_device("cuda:7")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", ""])
def test_a_device_that_is_none(name):
    with pytest.raises(ConfigError, match="allowed"):
        RunConfig(device=name)

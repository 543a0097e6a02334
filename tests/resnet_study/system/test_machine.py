"""What is found out about a machine, whatever it is."""

import multiprocessing
import os
import platform
import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from resnet_study.config import ModelConfig, RunConfig
from resnet_study.experiment import run
from resnet_study.models import kernels
from resnet_study.system import machine, processor
from resnet_study.system.command import output_of
from resnet_study.system.errors import ConfigError, DeviceError

CPU = torch.device("cpu")


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
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: f"processor : 0\n{flags}\n")
    assert machine.fastest_precision(CPU) == expected


def test_auto_names_a_precision_before_the_run_is_described(cli):
    done = cli("precision=auto", "model.depth=8", "model.kind=plain")
    assert done.returncode == 0, done.stderr
    precision = machine.fastest_precision(CPU)
    folder = Path(done.stdout.split(": ", 1)[1].strip())
    assert ("bf16" in folder.name) == (precision == "bf16")
    assert f"precision: {precision}" in (folder / "config.yaml").read_text()
    with pytest.raises(ConfigError, match="must be one of fp32, bf16"):
        RunConfig(precision="auto")


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_a_runs_peak_memory_is_its_own(tiny):
    small = tiny(seed=1)
    wide = ModelConfig(depth=110, width=32)
    large = tiny({"batch_size": 200, "eval_train_images": None}, seed=2, model=wide)
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
    "name, gpus, expected, used",
    [("auto", 0, "cpu", 0), ("auto", 2, "cuda:0", 2), ("cpu", 2, "cpu", 0),
     ("cuda", 1, "cuda:0", 1), ("cuda:1", 2, "cuda:1", 1)],
)  # fmt: skip
def test_a_device_is_one_that_is_there(name, gpus, expected, used, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert str(machine.choose_device(name)) == expected
    assert machine.gpu_count(name) == used
    with pytest.raises(DeviceError, match=r"device=cuda:7: "):
        machine.choose_device("cuda:7")


X86 = """\
processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 26
model\t\t: 2
model name\t: AMD EPYC
stepping\t: 1
flags\t\t: fpu avx512f
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n"


def test_a_processor_is_told_by_its_numbers_and_its_instructions(tmp_path, monkeypatch):
    file = tmp_path / "cpuinfo"
    monkeypatch.setattr(processor, "CPUINFO", file)
    # Not Linux's: the platform's name has to do.
    assert processor.processor_model() == processor.processor_name() != ""
    models = []
    for text in (X86, X86.replace("fpu avx512f", "avx512f fpu"), X86.replace(" avx512f", ""), ARM):
        file.write_text(text)
        models.append(processor.processor_model())
    assert re.fullmatch(
        r"AMD EPYC, family 26, model 2, stepping 1, instructions [0-9a-f]{6}", models[0]
    )
    assert models[0] == models[1] != models[2]
    assert ", implementer 0x41, part 0xd40, instructions " in models[3]


def test_a_commit_is_the_checkouts_own_and_is_only_read(tmp_path, monkeypatch):
    def git(*words):
        me = ("-c", "user.name=a", "-c", "user.email=a@b")
        output_of("git", *me, "-C", str(tmp_path), *words)

    git("init", "--quiet")
    (file := tmp_path / "file").write_text("text")
    git("add", "file")
    git("commit", "--quiet", "--message", "first")
    monkeypatch.setattr(machine, "CHECKOUT", tmp_path)
    # As in a hook of another repository.
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    os.utime(file, (1, 1))
    index = (tmp_path / ".git" / "index").read_bytes()
    assert re.fullmatch("[0-9a-f]{40}", machine.git_commit())
    file.write_text("other text")
    assert machine.git_commit().endswith("+changes")
    assert (tmp_path / ".git" / "index").read_bytes() == index
    # An archive that was unpacked within a repository has no commit.
    monkeypatch.setattr(machine, "CHECKOUT", tmp_path / "archive")
    assert machine.git_commit() is None


def test_a_manifest_names_processor_and_compiler(monkeypatch):
    assert machine.describe(CPU, 1)["processor"] == processor.processor_model()
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert kernels.compiler_version() is None

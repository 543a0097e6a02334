"""What is found out about a machine, whatever it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from resnet_study import machine
from resnet_study.config import RunConfig


@pytest.mark.parametrize(
    "flags, expected",
    [
        ("flags : fpu avx2 avx512f avx512_bf16", "bf16"),
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
    # Elsewhere there is nothing to tell, and nothing happens.
    machine._keep_freed_memory()

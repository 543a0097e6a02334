"""Which processor a run was trained on."""

from __future__ import annotations

import re

import pytest

from resnet_study import machine, processor
from resnet_study.models import describe_kernels, kernels

X86 = """\
processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 26
model\t\t: 2
model name\t: AMD EPYC
stepping\t: 1
flags\t\t: fpu avx512f

processor\t: 1
model name\t: another
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n"


@pytest.fixture
def cpuinfo(tmp_path, monkeypatch):
    """Sets what Linux says of the processor."""

    def write(text):
        file = tmp_path / "cpuinfo"
        file.write_text(text)
        monkeypatch.setattr(processor, "CPUINFO", file)

    return write


def test_a_processor_is_told_by_its_numbers_and_its_instructions(cpuinfo):
    cpuinfo(X86)
    assert processor.processor_name() == "AMD EPYC"
    model = processor.processor_model()
    assert re.fullmatch(
        r"AMD EPYC, family 26, model 2, stepping 1, instructions [0-9a-f]{6}", model
    )
    cpuinfo(X86.replace("fpu avx512f", "avx512f fpu"))
    assert processor.processor_model() == model
    cpuinfo(X86.replace(" avx512f", ""))
    assert processor.processor_model() != model


def test_on_arm_the_implementer_and_the_part_tell(cpuinfo):
    cpuinfo(ARM)
    assert ", implementer 0x41, part 0xd40, instructions " in processor.processor_model()


def test_elsewhere_the_platforms_name_has_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "none")
    assert processor.processor_model() == processor.processor_name() != ""


def test_a_manifest_names_processor_and_compiler(monkeypatch):
    import torch

    assert machine.describe(torch.device("cpu"), 1)["processor"] == processor.processor_model()
    assert describe_kernels("torch") == {"kernels": "torch", "compiler": None}
    described = describe_kernels("fused")
    assert described["compiler"] == kernels.compiler_version()
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert kernels.compiler_version() is None

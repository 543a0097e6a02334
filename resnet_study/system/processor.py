"""Identifies the processor; needs no torch."""

import hashlib
import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
# Linux's keys of the makers' model numbers, on x86 and on ARM.
_NUMBERS = {
    "cpu family": "family",
    "model": "model",
    "stepping": "stepping",
    "CPU implementer": "implementer",
    "CPU part": "part",
    "CPU variant": "variant",
}


def processor_name() -> str:
    """Returns the processor's own name, such as "AMD EPYC"."""
    return read_facts().get("model name") or platform.processor() or platform.machine()


def processor_model() -> str:
    """Returns the processor's name and its maker's numbers, since several processors share a name.

    A digest of its instructions comes last, because a virtual machine may show only some of
    them: "AMD EPYC, family 26, model 2, stepping 1, instructions 3f9c21". On systems other than
    Linux it is the name alone.
    """
    facts = read_facts()
    known = [f"{word} {facts[key]}" for key, word in _NUMBERS.items() if key in facts]
    if known_instructions := instructions():
        words = " ".join(sorted(known_instructions))
        known.append(f"instructions {hashlib.sha256(words.encode()).hexdigest()[:6]}")
    return ", ".join([processor_name(), *known])


def instructions() -> list[str]:
    """Returns its instruction sets, such as "avx2"; empty on systems other than Linux."""
    facts = read_facts()
    return facts.get("flags", facts.get("Features", "")).split()


def read_facts() -> dict[str, str]:
    """Returns what Linux says about the first core, by Linux's keys; empty on other systems."""
    try:
        text = CPUINFO.read_text(encoding="utf-8")
    except OSError:
        return {}
    first, _, _ = text.partition("\n\n")
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}

"""Which processor this is; needs no torch."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
# What Linux calls the numbers that makers give, on x86 and on ARM.
_NUMBERS = {
    "cpu family": "family",
    "model": "model",
    "stepping": "stepping",
    "CPU implementer": "implementer",
    "CPU part": "part",
    "CPU variant": "variant",
}
_FEATURES = ("flags", "Features")


def processor_name() -> str:
    """The processor's own name, such as "AMD EPYC"."""
    return _facts().get("model name") or platform.processor() or platform.machine()


def processor_model() -> str:
    """The processor as its maker numbers it, which its name may not tell from others.

    With a digest of its instructions, of which a virtual machine may show only some: "AMD EPYC,
    family 26, model 2, stepping 1, instructions 3f9c21". Elsewhere than on Linux the name.
    """
    facts = _facts()
    known = [f"{word} {facts[key]}" for key, word in _NUMBERS.items() if key in facts]
    for key in _FEATURES:
        if key in facts:
            words = " ".join(sorted(facts[key].split()))
            known.append(f"instructions {hashlib.sha256(words.encode()).hexdigest()[:6]}")
    return ", ".join([processor_name(), *known])


def _facts() -> dict[str, str]:
    """What Linux says of the first core."""
    try:
        text = CPUINFO.read_text(encoding="utf-8")
    except OSError:
        return {}
    first, _, _ = text.partition("\n\n")
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}

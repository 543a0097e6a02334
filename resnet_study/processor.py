"""Which processor this is; needs no torch."""

from __future__ import annotations

import platform
from pathlib import Path


def processor_name() -> str:
    """The processor's own name, such as "AMD EPYC"."""
    return _facts().get("model name") or platform.processor() or platform.machine()


def processor_model() -> str:
    """The processor as makers number it, which its name may not tell from others.

    Such as "AMD EPYC, family 26, model 2, stepping 1"; elsewhere than on x86 the name.
    """
    facts = _facts()
    numbers = {"family": "cpu family", "model": "model", "stepping": "stepping"}
    known = [f"{word} {facts[key]}" for word, key in numbers.items() if key in facts]
    return ", ".join([processor_name(), *known])


def _facts() -> dict[str, str]:
    """What Linux says of the first core."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {}
    first, _, _ = text.partition("\n\n")
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}

"""Whether two trainings of one run agree, and what may explain that they do not."""

from __future__ import annotations

import io
from typing import Any

import pandas as pd

from resnet_study.runs import RunFolder

# What the same computation takes differs each time.
TIMES = ("seconds", "images_per_second")
# Beside versions, all that rounding depends on.
MACHINE = ("device_name", "processor", "threads", "processes", "kernels", "compiler")


def curve(folder: RunFolder) -> pd.DataFrame:
    """A run's metrics as text, to the last digit, without the columns of time.

    Raises:
        StorageError: They cannot be read.
    """
    return pd.read_csv(io.StringIO(folder.read_metrics()), dtype=str).drop(columns=list(TIMES))


def differing(one: dict[str, Any], other: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What two manifests say otherwise of machine and versions, by its name.

    What one of them does not say, as older ones do, counts as different; so do the other
    machines on which a resumed run was before.
    """
    facts = [
        {name: manifest.get(name) for name in MACHINE}
        | (manifest.get("versions") or {})
        | {"formerly on": _former(manifest)}
        for manifest in (one, other)
    ]
    pairs = {name: (facts[0].get(name), facts[1].get(name)) for name in facts[0] | facts[1]}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _former(manifest: dict[str, Any]) -> str:
    """The machines of a resumed run that are not its last one."""

    def name(machine: dict[str, Any]) -> str:
        model = machine.get("processor") or machine.get("device_name")
        return f"{machine.get('processes', 1)} × {model}"

    former = [name(machine) for machine in manifest.get("former_machines") or []]
    return "; ".join(word for word in dict.fromkeys(former) if word != name(manifest)) or "none"

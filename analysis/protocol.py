"""Which runs belong together: what a description says beside network, depth and seed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resnet_study.config import RunConfig


def variant_of(config: RunConfig) -> str:
    """What sets a network apart beside family and depth, in words; "" for the usual."""
    model, start, usual = config.model, config.start, RunConfig()
    words = []
    if model.layers_per_block != usual.model.layers_per_block:
        words.append(f"span {model.layers_per_block}")
    if model.bottleneck_stride != usual.model.bottleneck_stride:
        words.append(f"stride on {model.bottleneck_stride}")
    if model.init != usual.model.init:
        words.append(model.init.capitalize())
    if model.norm != usual.model.norm:
        words.append("no batch norm")
    if config.data.augment.colour != (0.1 if config.data.streamed else 0.0):
        words.append(f"colour {config.data.augment.colour:g}")
    if start.depth is not None:
        words.append(f"from {start.depth} layers")
    elif start.run is not None:
        words.append(f"from {Path(start.run).name}")
    return ", ".join(words)


_NETWORK = (
    "kind", "shortcut", "depth", "layers_per_block", "init", "norm", "bottleneck_stride"
)  # fmt: skip


def settings_of(config: RunConfig) -> str:
    """All settings that are neither the paper's protocol nor the network's or the seed's.

    Empty for CIFAR-10 at the paper's schedule. Runs of equal settings are points of one
    study; others differ in more than their network.
    """
    identity = config.canonical()
    for key in ("seed", "start"):
        identity.pop(key, None)
    for key in _NETWORK:
        identity.get("model", {}).pop(key, None)
    if config.model.width == config.model.design.width:
        identity.get("model", {}).pop("width", None)
    identity.get("data", {}).get("augment", {}).pop("colour", None)
    return " ".join(f"{key}={value}" for key, value in flat(identity).items())


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted keys and text, in alphabetical order."""
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = json.dumps(value, separators=(",", ":")).strip('"')
    return dict(sorted(found.items()))


def protocols(configs: dict[str, RunConfig], started: Mapping[str, str]) -> dict[str, list[str]]:
    """Run ids by what tells their protocol from the others: what `settings_of` says.

    Runs of different data, schedules or widths are not points of one curve, even where they
    lie in one folder.

    Args:
        configs: Descriptions by run id.
        started: When each run was started, as an ISO date, by run id.

    Returns:
        The protocol that has the newest run comes first. The key holds only the settings that
        are not those of all protocols.
    """
    groups: dict[str, list[str]] = {}
    for run_id, config in configs.items():
        groups.setdefault(settings_of(config), []).append(run_id)
    shared = set.intersection(*(set(key.split(" ")) for key in groups)) if groups else set()
    newest = {key: max(started.get(run_id, "") for run_id in ids) for key, ids in groups.items()}
    return {
        " ".join(word for word in key.split(" ") if word not in shared): groups[key]
        for key in sorted(groups, key=newest.__getitem__, reverse=True)
    }

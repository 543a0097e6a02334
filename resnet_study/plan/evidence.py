"""Runs on record of the same network and settings: the best evidence of what one takes."""

from __future__ import annotations

import os
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from resnet_study.config import RunConfig
from resnet_study.errors import StorageError
from resnet_study.runs import RunFolder

NAME = re.compile(r"(?P<stem>.+)-s(?P<seed>\d+)-[0-9a-f]{6}")
# Seeds that are looked up, and runs that are read, of each network.
SEEDS, ENOUGH = 20, 5


@dataclass(frozen=True)
class Evidence:
    """What finished runs of one network took.

    Attributes:
        seconds: Their median.
        runs: How many they are.
        spread: How far they lie apart, in percent of the least; None of a single one.
        device_name: What they were trained on.
    """

    seconds: float
    runs: int
    spread: float | None
    device_name: str


class Record:
    """The finished runs of an experiment's folder.

    Args:
        folder: The folder; it need not be there.
        device_name: Only runs of this device count; None for any.
    """

    def __init__(self, folder: Path, device_name: str | None) -> None:
        self.folder = folder
        self.device_name = device_name
        self.names: set[str] = set()
        self.seeds: dict[str, set[int]] = defaultdict(set)
        for name in _folders(folder):
            if found := NAME.fullmatch(name):
                self.names.add(name)
                self.seeds[found["stem"]].add(int(found["seed"]))

    def of(self, config: RunConfig, threads: int) -> Evidence | None:
        """What runs took that differ from this one in their seed alone; None without any.

        Args:
            config: The run.
            threads: CPU threads that it is to have; runs with others do not count.
        """
        found = NAME.fullmatch(config.run_id)
        taken: dict[str, list[float]] = defaultdict(list)
        for seed in sorted(self.seeds.get(found["stem"], ()))[:SEEDS] if found else ():
            name = replace(config, seed=seed).run_id
            if name not in self.names or sum(map(len, taken.values())) >= ENOUGH:
                continue
            manifest = _manifest(RunFolder(self.folder / name))
            if manifest is None or not self._fits(config, manifest, threads):
                continue
            taken[str(manifest["device_name"])].append(_seconds(manifest))
        if not taken:
            return None
        device, seconds = max(taken.items(), key=lambda item: len(item[1]))
        least, most = min(seconds), max(seconds)
        spread = 100 * (most - least) / least if len(seconds) > 1 and least else None
        return Evidence(statistics.median(seconds), len(seconds), spread, device)

    def _fits(self, config: RunConfig, manifest: dict[str, Any], threads: int) -> bool:
        try:
            file = self.folder / str(manifest["run_id"]) / "config.yaml"
            text = file.read_text(encoding="utf-8")
        except (OSError, ValueError):
            return False
        # On these two a run's time depends, and its id does not.
        recomputed = "activation_checkpointing: true" in text
        kernels = manifest["kernels"] == "torch" or config.kernels != "torch"
        return (
            manifest["threads"] == threads
            and recomputed == config.activation_checkpointing
            and kernels
            and self.device_name in (None, manifest["device_name"])
        )


def _folders(folder: Path) -> Iterable[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]
    except OSError:
        return ()


def _manifest(folder: RunFolder) -> dict[str, Any] | None:
    """A finished run's manifest, where it says what is needed here."""
    try:
        manifest = folder.read_manifest()
    except StorageError:
        return None
    if manifest is None or manifest["state"] != "finished":
        return None
    # Those of an earlier version do not say which kernels they had, and were slower.
    needed = ("run_id", "seconds", "device_name", "threads", "kernels")
    return manifest if all(key in manifest for key in needed) else None


def _seconds(manifest: dict[str, Any]) -> float:
    """From beginning to end, in one go: with checkpoints and probes, which `seconds` leaves out."""
    own = float(manifest["seconds"]) + float(manifest.get("probe_seconds", 0.0))
    if manifest.get("resumed"):
        return own
    try:
        began, ended = (datetime.fromisoformat(str(manifest[k])) for k in ("started", "ended"))
    except (KeyError, ValueError):
        return own
    return max(own, (ended - began).total_seconds())

"""What an experiment's folder holds."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.protocol import protocols
from resnet_study.config import RunConfig


@dataclass(frozen=True)
class Study:
    """What an experiment's folder holds.

    Attributes:
        name: What a reader calls it.
        folder: Where it lies.
        runs: As from `load_runs`.
        configs: Each readable run's description, by run id.
        manifests: Each readable run's manifest, by run id.
        damaged: What is wrong with each run that could not be read, by its folder's name.
        probes: As from `load_probes`.
    """

    name: str
    folder: Path
    runs: pd.DataFrame
    configs: dict[str, RunConfig]
    manifests: dict[str, dict[str, Any]]
    damaged: dict[str, str]
    probes: pd.DataFrame

    def part(self, ids: Collection[str]) -> Study:
        """The study with these runs alone; what is damaged stays named."""
        return replace(
            self,
            runs=self.runs[self.runs["run_id"].isin(list(ids))],
            probes=self.probes[self.probes["run_id"].isin(list(ids))],
            configs={key: value for key, value in self.configs.items() if key in ids},
            manifests={key: value for key, value in self.manifests.items() if key in ids},
        )

    @property
    def states(self) -> dict[str, str]:
        """Each readable run's state, by run id."""
        return {run_id: manifest["state"] for run_id, manifest in self.manifests.items()}

    @property
    def protocols(self) -> dict[str, list[str]]:
        """Ids of the runs that have rows, by protocol, the newest first; see `protocols`."""
        begun = set(self.runs["run_id"])
        started = {run: str(manifest.get("started")) for run, manifest in self.manifests.items()}
        groups = protocols(self.configs, started)
        return {name: ids for name, ids in groups.items() if begun.intersection(ids)}

    @property
    def machines(self) -> dict[str, tuple[str, str]]:
        """Host and device of each readable run, by run id; see `machine_of`."""
        return {run_id: machine_of(manifest) for run_id, manifest in self.manifests.items()}

    @property
    def devices(self) -> list[str]:
        """The devices that its runs were trained on, sorted."""
        return sorted({device for _, device in self.machines.values()})

    @property
    def of_several_machines(self) -> bool:
        """Whether its runs were trained on several hosts or devices."""
        return len(set(self.machines.values())) > 1

    def place(self, run_id: str) -> Path:
        """The folder of a run, readable or damaged."""
        return self.folder / run_id


def machine_of(manifest: dict[str, Any]) -> tuple[str, str]:
    """The hosts and the devices that a run was trained on; one that failed early names none.

    A run that went on elsewhere, or in several processes, has been on several.
    """
    hosts: list[str] = []
    devices: list[str] = []
    for part in [*(manifest.get("former_machines") or []), manifest]:
        hosts += map(str, part.get("hosts") or [part.get("host") or "unknown host"])
        many = f"{count} × " if (count := part.get("processes", 1)) > 1 else ""
        devices.append(many + str(part.get("device_name") or "unknown device"))
    return ", ".join(dict.fromkeys(hosts)), ", then ".join(dict.fromkeys(devices))


def images_of(manifest: dict[str, Any]) -> object:
    """The fingerprint of the images that a run was trained on; one that failed early has none."""
    data = manifest.get("data")
    return data.get("fingerprint") if isinstance(data, dict) else None


def classes_of(manifest: dict[str, Any]) -> int:
    """How many classes a run's images have; ten, as CIFAR-10, where its manifest is silent."""
    data = manifest.get("data")
    classes = data.get("classes") if isinstance(data, dict) else None
    return classes if isinstance(classes, int) and classes > 1 else 10

"""What an experiment's folder holds, or several that were collected into one study."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from resnet_study.config import RunConfig


@dataclass(frozen=True)
class Copy:
    """A run as one of several folders holds it.

    Attributes:
        path: The run's folder.
        state: As in the manifest, or "damaged".
        iterations: The last logged one; None of a damaged copy.
        host: Where it was trained.
        device: The hardware's own name.
        finding: What sets it apart from the copy that was taken: its damage, or what a
            comparison of the two curves found; "" where there is nothing to compare.
        difference: Final training error minus that of the taken copy, in points; None
            where not both have one.
    """

    path: Path
    state: str
    iterations: int | None
    host: str
    device: str
    finding: str = ""
    difference: float | None = None

    def __str__(self) -> str:
        reached = [] if self.iterations is None else [f"{self.iterations:,} iterations"]
        words = ", ".join([self.state, *reached, self.host, self.device])
        return f"{self.path.parent} ({words}{f'; {self.finding}' if self.finding else ''})"


@dataclass(frozen=True)
class Duplicate:
    """A run that lies in several folders, and which of them counts.

    Attributes:
        run_id: The run.
        taken: The copy that counts.
        left_out: The others.
    """

    run_id: str
    taken: Copy
    left_out: tuple[Copy, ...]

    def __str__(self) -> str:
        others = ", ".join(map(str, self.left_out))
        return f"{self.run_id}: taken from {self.taken}; left out: {others}"


@dataclass(frozen=True)
class Study:
    """What an experiment's folder holds.

    Attributes:
        name: What a reader calls it.
        folder: Where it lies; of a collected study the first of its folders.
        runs: As from `load_runs`.
        configs: Each readable run's description, by run id.
        manifests: Each readable run's manifest, by run id.
        damaged: What is wrong with each run that could not be read, by its folder's name;
            in a collected study with the name of the collected folder before it.
        probes: As from `load_probes`.
        collected: The folders that a collected study was made of; else empty.
        places: Where each run of a collected study lies, by its key in `configs` or `damaged`.
        duplicates: The runs that several of the collected folders hold.
    """

    name: str
    folder: Path
    runs: pd.DataFrame
    configs: dict[str, RunConfig]
    manifests: dict[str, dict[str, Any]]
    damaged: dict[str, str]
    probes: pd.DataFrame
    collected: tuple[Path, ...] = ()
    places: dict[str, Path] = field(default_factory=dict)
    duplicates: tuple[Duplicate, ...] = ()

    def part(self, ids: Collection[str]) -> Study:
        """The study with these runs alone; what is damaged stays named."""
        return replace(
            self,
            runs=self.runs[self.runs["run_id"].isin(list(ids))],
            probes=self.probes[self.probes["run_id"].isin(list(ids))],
            configs={key: value for key, value in self.configs.items() if key in ids},
            manifests={key: value for key, value in self.manifests.items() if key in ids},
            duplicates=tuple(d for d in self.duplicates if d.run_id in ids),
        )

    @property
    def states(self) -> dict[str, str]:
        """Each readable run's state, by run id."""
        return {run_id: manifest["state"] for run_id, manifest in self.manifests.items()}

    @property
    def devices(self) -> list[str]:
        """The devices that its runs were trained on, sorted."""
        return sorted({machine_of(manifest)[1] for manifest in self.manifests.values()})

    @property
    def of_several_machines(self) -> bool:
        """Whether its runs were trained on several hosts or devices."""
        return len({machine_of(manifest) for manifest in self.manifests.values()}) > 1

    def place(self, run_id: str) -> Path:
        """The folder of a run, readable or damaged."""
        return self.places.get(run_id, self.folder / run_id)


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

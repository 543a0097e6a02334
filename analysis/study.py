"""A study: the runs of an experiment's folder."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.manifest import COSTS, machine_of
from analysis.networks import IDENTITY, network_of
from analysis.protocol import flat, protocols
from resnet_study.config import RunConfig


@dataclass(frozen=True)
class Study:
    """The runs of an experiment's folder.

    Attributes:
        name: The name for readers.
        folder: The experiment's folder.
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
        """The study with only the given runs; damaged runs are still named."""
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
        """Run ids by protocol that has rows, the newest first (see `protocols`)."""
        begun = set(self.runs["run_id"])
        started = {run: str(manifest.get("started")) for run, manifest in self.manifests.items()}
        groups = protocols(self.configs, started)
        return {name: ids for name, ids in groups.items() if begun.intersection(ids)}

    @cached_property
    def settings(self) -> dict[str, dict[str, str]]:
        """All settings of each readable run as dotted keys and text, by run id."""
        return {run_id: flat(config.to_mapping()) for run_id, config in self.configs.items()}

    @cached_property
    def machines(self) -> dict[str, tuple[str, str]]:
        """Host and device of each readable run, by run id; see `machine_of`."""
        return {run_id: machine_of(manifest) for run_id, manifest in self.manifests.items()}

    @property
    def each(self) -> pd.DataFrame:
        """What configs and manifests say about each readable run.

        Returns:
            One row per run: `run_id, family, depth, seed, state, host, device`, then the
            `COSTS`: `parameters`, `multiply_adds` (of one image), `seconds` (training time),
            `waiting_seconds` (part of it, waiting for data) and `peak_memory_bytes`. A cost that is
            not known yet is missing.
        """
        rows = []
        for run_id, config in self.configs.items():
            manifest = self.manifests[run_id]
            network = (network_of(config).family, config.model.depth, config.seed)
            told = (manifest["state"], *self.machines[run_id], *map(manifest.get, COSTS))
            rows.append((run_id, *network, *told))
        columns = [*IDENTITY, "state", "host", "device", *COSTS]
        return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(COSTS, float))

    @property
    def of_several_machines(self) -> bool:
        """Whether its runs were trained on several hosts or devices."""
        return len(set(self.machines.values())) > 1

    def place(self, run_id: str) -> Path:
        """The folder of a run, readable or damaged."""
        return self.folder / run_id

"""What the page shows of each run: its state, its settings, its curve."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis.networks import network_of
from analysis.statistics import final_errors
from analysis.study import Study
from resnet_study.store.folder import RunFolder

WIDTH, HEIGHT = 300, 80
MOST_POINTS = 60


def shared_settings(study: Study) -> dict[str, str]:
    """The settings in which all runs agree."""
    each = [own.items() for own in study.settings.values()]
    return dict(sorted(set.intersection(*map(set, each)))) if each else {}


def describe_runs(study: Study, shared: dict[str, str]) -> list[dict[str, Any]]:
    """Each run in words and numbers, in the order of family, depth and seed.

    Args:
        study: Runs of one protocol.
        shared: As from `shared_settings`; the page shows them once.
    """
    machines = study.machines
    finals = final_errors(study.runs).set_index("run_id")
    curves = dict(list(study.runs.groupby("run_id", sort=False)))
    described = []
    for run_id, config in study.configs.items():
        manifest, curve = study.manifests[run_id], curves.get(run_id)
        own = study.settings[run_id]
        final = finals.loc[run_id] if run_id in finals.index else None
        iterations = 0 if curve is None else int(curve["iteration"].max())
        host, device = machines[run_id]
        described.append(
            {
                "id": run_id,
                "family": network_of(config).title,
                "depth": config.model.depth,
                "seed": config.seed,
                "state": manifest["state"],
                "host": host,
                "device": device,
                "iterations": iterations,
                "train_error": None if final is None else final["train_error"],
                "test_error": None if final is None else final["test_error"],
                "settings": {key: own[key] for key in own if own[key] != shared.get(key)},
                "facts": _facts(manifest),
                "failure": _failure(RunFolder(study.place(run_id)), manifest),
                "curves": [] if curve is None else _polylines(curve, config.schedule.iterations),
            }
        )
    return sorted(described, key=lambda run: (run["family"], run["depth"], run["seed"]))


def _facts(manifest: dict[str, Any]) -> dict[str, str]:
    shown = ("started", "ended", "host", "device_name", "commit", "parameters", "seconds")
    facts = {key: manifest[key] for key in shown if manifest.get(key) is not None}
    for name in ("seconds", "probe_seconds"):
        if manifest.get(name) is not None:
            facts[name] = f"{manifest[name]:.1f}"
    if start := manifest.get("start"):
        facts["started from"] = f"{start.get('run')}, iteration {start.get('iteration')}"
    if resumed := manifest.get("resumed"):
        facts["resumed at iteration"] = ", ".join(str(r.get("iteration")) for r in resumed)
    return {key: str(value) for key, value in facts.items()}


def _failure(folder: RunFolder, manifest: dict[str, Any]) -> str | None:
    """The last line of a failed run's traceback, which names the error."""
    if manifest["state"] != "failed":
        return None
    try:
        lines = folder.failure_file.read_text(encoding="utf-8").strip().splitlines()
    except (OSError, UnicodeDecodeError):
        return "failure.txt cannot be read"
    return lines[-1] if lines else "failure.txt is empty"


def _polylines(run: pd.DataFrame, iterations: int) -> list[tuple[str, str]]:
    """Name and points of the training and test curve, in a box of WIDTH × HEIGHT."""
    lines = []
    for name, column in (("training", "train_error"), ("test", "test_error")):
        values = run[column].to_numpy(dtype=float, na_value=np.nan)
        known = np.flatnonzero(~np.isnan(values))
        # From the end, so that the last row stays.
        known = known[:: -max(1, len(known) // MOST_POINTS)][::-1]
        points = " ".join(
            f"{WIDTH * x / iterations:.0f},{HEIGHT * (1 - y / 100):.1f}"
            for x, y in zip(run["iteration"].to_numpy()[known], values[known], strict=True)
        )
        lines.append((name, points))
    return lines

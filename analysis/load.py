"""From run folders to tidy frames."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from resnet_study.config import RunConfig
from resnet_study.errors import StudyError
from resnet_study.runs import METRICS, RunFolder

DESCRIPTION = (
    "run_id",
    "kind",
    "shortcut",
    "depth",
    "seed",
    "data",
    "schedule",
    "experiment",
    "state",
)

COSTS = ("parameters", "multiply_adds", "seconds", "peak_memory_bytes")


class DamagedRunWarning(UserWarning):
    """A run folder could not be read and is left out."""


def run_folders(path: str | Path) -> list[RunFolder]:
    """The run folders directly below an experiment's folder, sorted by name.

    Raises:
        StudyError: The folder is missing, or holds no runs.
    """
    path = Path(path)
    if not path.is_dir():
        raise StudyError("runs", path, "is not there; allowed is a folder such as runs/quick")
    files = ("manifest.json", "config.yaml", "metrics.csv")
    found = {file.parent for name in files for file in path.glob(f"*/{name}")}
    folders = [RunFolder(folder) for folder in sorted(found)]
    if not folders:
        raise StudyError("runs", path, "holds no runs; allowed is a folder such as runs/quick")
    return folders


def read_metrics(folder: RunFolder) -> pd.DataFrame:
    """metrics.csv as numbers, without a last line that is still being written.

    Raises:
        StudyError: The file is missing or damaged, or is not a table of the metrics' columns.
    """
    try:
        frame = pd.read_csv(io.StringIO(folder.read_metrics()), dtype=float)
    except ValueError as error:
        short = " ".join(str(error).split())
        raise StudyError("metrics", folder.metrics_file, f"cannot be read ({short})") from error
    if tuple(frame.columns) != METRICS:
        raise StudyError(
            "metrics", folder.metrics_file, f"allowed are the columns {', '.join(METRICS)}"
        )
    iterations = frame["iteration"].to_numpy()
    if not (np.isfinite(iterations).all() and (np.diff(iterations, prepend=0) > 0).all()):
        raise StudyError("metrics", folder.metrics_file, "has iterations that do not increase")
    return frame.astype({"iteration": "int64"})


def load_configs(path: str | Path) -> dict[str, RunConfig]:
    """The description of each readable run, by run id; damaged ones are warned of."""
    configs = {}
    for folder in run_folders(path):
        try:
            configs[folder.path.name] = folder.read_config()
        except StudyError as error:
            warnings.warn(DamagedRunWarning(f"{folder.path}: {error}"), stacklevel=2)
    return configs


def load_runs(path: str | Path) -> pd.DataFrame:
    """Loads an experiment's runs.

    Args:
        path: Folder of the experiment, such as `runs/quick`.

    Returns:
        One row per run and logged iteration: `run_id, kind, shortcut` (missing for
        plain), `depth, seed, data, schedule, experiment, state`, then the columns of
        metrics.csv. Errors are percent, losses nats; a column is missing between
        evaluations. Runs in every state are there; `state` tells them apart. A damaged
        run is left out with a `DamagedRunWarning` that names it.

    Raises:
        StudyError: The folder is missing, or holds no runs.
    """
    frames = []
    for folder in run_folders(path):
        try:
            manifest = folder.read_manifest()
            config = folder.read_config()
            metrics = read_metrics(folder)
            if manifest is None:
                raise StudyError("manifest", folder.manifest_file, "is missing")
        except StudyError as error:
            warnings.warn(DamagedRunWarning(f"{folder.path}: {error}"), stacklevel=2)
            continue
        description = {
            "run_id": folder.path.name,
            "kind": config.model.kind,
            "shortcut": config.model.shortcut,
            "depth": config.model.depth,
            "seed": config.seed,
            "data": config.data.title
            + (", validation images in place of test images" * bool(config.data.validation_images)),
            "schedule": config.schedule.name,
            "experiment": config.experiment_name,
            "state": manifest["state"],
        }
        for position, name in enumerate(DESCRIPTION):
            metrics.insert(position, name, description[name])
        frames.append(metrics.astype({"shortcut": "string"}))
    if not frames:
        return pd.DataFrame(columns=[*DESCRIPTION, *METRICS])
    return pd.concat(frames, ignore_index=True)


def load_manifests(path: str | Path) -> pd.DataFrame:
    """Loads what the manifests say of cost, one row per readable run.

    Args:
        path: Folder of the experiment.

    Returns:
        `run_id, family, depth, seed, state, parameters, multiply_adds` (of one image),
        `seconds` (training time), `peak_memory_bytes, device_name, host`; a number is
        missing where the run has not come so far.
    """
    rows = []
    for folder in run_folders(path):
        try:
            manifest, config = folder.read_manifest() or {}, folder.read_config()
        except StudyError as error:
            warnings.warn(DamagedRunWarning(f"{folder.path}: {error}"), stacklevel=2)
            continue
        names = ("state", *COSTS, "device_name", "host")
        rows.append(
            {
                "run_id": folder.path.name,
                "family": config.model.family,
                "depth": config.model.depth,
                "seed": config.seed,
                **{name: manifest.get(name) for name in names},
            }
        )
    return pd.DataFrame(rows).astype(dict.fromkeys(COSTS, float))


def protocols(configs: dict[str, RunConfig]) -> list[list[str]]:
    """Run ids grouped by protocol: what differs is family, depth and seed alone.

    Runs of different data, schedules or widths are not points of one curve, even where
    they lie in one folder. The largest group comes first.
    """
    groups: dict[str, list[str]] = {}
    for run_id, config in configs.items():
        identity = config.canonical()
        identity.pop("seed", None)
        model = identity.pop("model", {})
        rest = {k: v for k, v in model.items() if k not in ("kind", "shortcut", "depth")}
        key = json.dumps([identity, rest], sort_keys=True)
        groups.setdefault(key, []).append(run_id)
    return sorted(groups.values(), key=len, reverse=True)

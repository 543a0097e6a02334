"""From run folders to tidy frames."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.networks import IDENTITY, identity, network_of, variant_of
from analysis.protocol import paper_iterations, settings_of
from analysis.study import Study, classes_of, images_of
from resnet_study.config import RunConfig
from resnet_study.store.folder import COMPLETE, METRICS, PROBES, RunFolder
from resnet_study.system.errors import StudyError

DESCRIPTION = (
    "run_id", "kind", "shortcut", "depth", "seed", "data", "schedule", "experiment", "state",
    "variant", "settings",
)  # fmt: skip

# A network has left chance where its loss is below this share of that of a guess, ln(classes).
# Recorded losses of the last tenth leave a gap between 2.248 and 2.271 of ten classes: 0.98
# gives 2.257.
CHANCE = 0.98

COSTS = ("parameters", "multiply_adds", "seconds", "waiting_seconds", "peak_memory_bytes")


class DamagedRunWarning(UserWarning):
    """A run folder could not be read and is left out."""


def run_folders(path: str | Path) -> list[RunFolder]:
    """The run folders directly below an experiment's folder, sorted by name.

    Raises:
        StudyError: The folder is missing, or holds no runs.
    """
    path = Path(path)
    if not path.is_dir():
        raise StudyError("runs", path, "is not there; name a folder such as runs/quick")
    files = ("manifest.json", "config.yaml", "metrics.csv")
    found = {file.parent for name in files for file in path.glob(f"*/{name}")}
    folders = [RunFolder(folder) for folder in sorted(found)]
    if not folders:
        below = _experiments_below(path)
        hint = f", here {' '.join(map(str, below))}" if below else ""
        raise StudyError("runs", path, f"holds no runs; name a folder such as runs/quick{hint}")
    return folders


def _experiments_below(path: Path) -> list[Path]:
    """The folders with runs where only a folder above them was named, such as `runs`."""
    for depth in range(2, 6):
        if found := {file.parent.parent for file in path.glob("*/" * depth + "manifest.json")}:
            return sorted(found)
    return []


def read_metrics(folder: RunFolder) -> pd.DataFrame:
    """metrics.csv as numbers, without a last line that is still being written.

    Raises:
        StudyError: The file is missing or damaged, or is not a table of the metrics' columns.
    """
    frame = _read_table("metrics", folder.metrics_file, folder.read_metrics, METRICS, float)
    iterations = frame["iteration"].to_numpy()
    if not (np.isfinite(iterations).all() and (np.diff(iterations, prepend=-1) > 0).all()):
        raise StudyError("metrics", folder.metrics_file, "has iterations that do not increase")
    return frame.astype({"iteration": "int64"})


def read_study(path: str | Path, name: str | None = None) -> Study:
    """Reads an experiment's folder, each file once.

    Args:
        path: Folder of the experiment, such as `runs/quick`.
        name: What to call it; by default the folder's name.

    Raises:
        StudyError: The folder is missing, holds no runs, or holds runs of one protocol that were
            trained on different images.
    """
    frames, probes, configs, manifests, damaged = {}, {}, {}, {}, {}
    for folder in run_folders(path):
        run_id = folder.path.name
        try:
            manifest = folder.read_manifest()
            if manifest is None:
                raise StudyError("manifest", folder.manifest_file, "is missing")
            check_manifest(manifest, folder.manifest_file)
            config = folder.read_config()
            if config.run_id != run_id and (folder.path.parent / config.run_id).is_dir():
                raise StudyError("run", folder.path, f"is a copy of {config.run_id}")
            # A run that has just begun, or failed at once, has no rows; that is no damage.
            rowless = manifest["state"] not in COMPLETE and not folder.metrics_file.exists()
            metrics = None if rowless else read_metrics(folder)
            looked = read_probes(folder) if folder.probes_file.exists() else None
        except StudyError as error:
            damaged[run_id] = str(error)
            continue
        if metrics is not None:
            frames[run_id] = metrics.assign(
                phase=phases(config, metrics),
                started=left_chance(metrics, classes_of(manifest)),
                paper_iterations=paper_iterations(config),
            )
        if looked is not None:
            probes[run_id] = looked
        configs[run_id], manifests[run_id] = config, manifest
    path = Path(path)
    _check_images(path, configs, manifests)
    described = {
        run_id: _description(run_id, config, manifests[run_id]["state"])
        for run_id, config in configs.items()
    }
    runs = _joined(frames, described, (*METRICS, "phase", "started", "paper_iterations"))
    shallow = {run_id: config.shallower() for run_id, config in configs.items()}
    depths = {run_id: run.model.depth for run_id, run in shallow.items() if run}
    bases = {run_id: network_of(run).family for run_id, run in shallow.items() if run}
    return Study(
        name or path.resolve().name,
        path,
        runs.assign(
            start=runs["run_id"].map(depths).astype("Int64"),
            base=runs["run_id"].map(bases).astype("string"),
        ),
        configs,
        manifests,
        damaged,
        _joined(probes, described, PROBES),
    )


def _check_images(
    path: Path, configs: dict[str, RunConfig], manifests: dict[str, dict[str, Any]]
) -> None:
    """Refuses runs of equal settings but different images, as merged folders may hold them."""
    first: dict[str, tuple[str, object]] = {}
    for run_id, config in configs.items():
        images = images_of(manifests[run_id])
        if images is None:
            continue
        other, expected = first.setdefault(settings_of(config), (run_id, images))
        if images != expected:
            allowed = (
                f"was trained on other images (fingerprint {images}) than {other} (fingerprint "
                f"{expected}); move the runs of one of these fingerprints to a folder of their own"
            )
            raise StudyError("run", path / run_id, allowed)


def _joined(
    frames: dict[str, pd.DataFrame], described: dict[str, dict[str, object]], columns: Sequence[str]
) -> pd.DataFrame:
    """The rows of all runs, each with the description of its run before it."""
    if not frames:
        return pd.DataFrame(columns=[*DESCRIPTION, *columns])
    # Repeated at once: a frame of descriptions for each run takes longer than reading it.
    run = np.repeat(np.arange(len(frames)), [len(frame) for frame in frames.values()])
    descriptions = pd.DataFrame([described[run_id] for run_id in frames])
    repeated = descriptions.astype({"shortcut": "string"}).take(run).reset_index(drop=True)
    return pd.concat([repeated, pd.concat(frames.values(), ignore_index=True)], axis=1)


def phases(config: RunConfig, metrics: pd.DataFrame) -> np.ndarray:
    """How often the learning rate had fallen in steps before each row's last iteration.

    Milestones come from the configuration. Where a plateau lowers the rate, the rows tell.
    """
    if config.schedule.plateau.patience is not None:
        return (metrics["learning_rate"].diff() < 0).cumsum().to_numpy()
    falls = config.schedule.milestones if config.schedule.gamma < 1 else []
    return np.searchsorted(sorted(falls), metrics["iteration"], side="left")


def left_chance(metrics: pd.DataFrame, classes: int) -> bool:
    """Whether the mean training loss over the last tenth of the iterations is below chance."""
    tail = metrics["iteration"] > 0.9 * metrics["iteration"].max()
    return bool(metrics.loc[tail, "train_loss"].mean() < CHANCE * math.log(classes))


def check_manifest(manifest: dict[str, Any], path: Path) -> None:
    """Finds out whether what is read from a manifest is of the kind that it should be.

    Raises:
        StudyError: It is not.
    """
    for name in COSTS:
        value = manifest.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise StudyError("manifest", path, f"is damaged: {name} is no number")
    whole = isinstance(manifest.get("versions") or {}, dict)
    for name in ("resumed", "former_machines"):
        entries = manifest.get(name) or []
        whole &= isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)
    if not whole:
        raise StudyError("manifest", path, "is damaged: versions, resumed or machines are odd")
    for scores in _values(manifest.get("evaluation") or {}):
        numbers = isinstance(scores, dict) and all(
            isinstance(scores.get(key, "missing") or 0.0, int | float)
            for key in ("error", "top5_error")
        )
        if not numbers:
            raise StudyError("manifest", path, "is damaged: its evaluation is odd")
    for part in [*(manifest.get("former_machines") or []), manifest]:
        processes, hosts = part.get("processes", 1), part.get("hosts", [])
        if type(processes) is not int or not isinstance(hosts, list):
            raise StudyError("manifest", path, "is damaged: processes or hosts are odd")


def _values(mapping: object) -> list[object]:
    """A mapping's values; of something else that thing, which will not pass."""
    return list(mapping.values()) if isinstance(mapping, dict) else [mapping]


def read_studies(paths: Sequence[str | Path]) -> list[Study]:
    """Reads several experiments' folders; each is named by what tells it from the others.

    Raises:
        StudyError: A folder is missing, holds no runs, or is named twice.
    """
    return [read_study(path, name) for path, name in zip(paths, names_of(paths), strict=True)]


def names_of(paths: Sequence[str | Path]) -> list[str]:
    """What tells each of several folders from the others: the shortest ends of their paths.

    Raises:
        StudyError: A folder is named twice.
    """
    parts = [Path(path).resolve().parts for path in paths]
    for path, own in zip(paths, parts, strict=True):
        if parts.count(own) > 1:
            raise StudyError("runs", path, "is named twice; name different folders")
    length = 1
    while len({own[-length:] for own in parts}) < len(parts):
        length += 1
    return ["/".join(own[-length:]) for own in parts]


def _description(run_id: str, config: RunConfig, state: str) -> dict[str, object]:
    """What the rows of a run say of it, by the columns of `DESCRIPTION`."""
    return {
        "run_id": run_id,
        "kind": config.model.kind,
        "shortcut": config.model.shortcut,
        "depth": config.model.depth,
        "seed": config.seed,
        "data": config.data.title
        + (", validation images in place of test images" * bool(config.data.validation_images)),
        "schedule": config.schedule.name,
        "experiment": config.experiment_name,
        "state": state,
        "variant": variant_of(config),
        "settings": settings_of(config),
    }


def _warn(study: Study) -> None:
    for run_id, problem in study.damaged.items():
        warnings.warn(DamagedRunWarning(f"{study.place(run_id)}: {problem}"), stacklevel=3)


def read_probes(folder: RunFolder) -> pd.DataFrame:
    """probes.csv as it stands.

    Raises:
        StudyError: The file is damaged.
    """
    types = {"measure": str, "name": str, "value": float}
    return _read_table(
        "probes", folder.probes_file, partial(folder.probes_file.read_text, "utf-8"), PROBES, types
    )


def _read_table(
    name: str, path: Path, read: Callable[[], str], columns: Sequence[str], types: Any
) -> pd.DataFrame:
    """A table of a run's folder; its columns must be the given ones."""
    try:
        frame = pd.read_csv(io.StringIO(read()), dtype=types)
    except (OSError, ValueError) as error:
        short = " ".join(str(error).split())
        raise StudyError(name, path, f"cannot be read ({short})") from error
    if tuple(frame.columns) != tuple(columns):
        raise StudyError(name, path, f"must have the columns {', '.join(columns)}")
    return frame


def load_probes(path: str | Path) -> pd.DataFrame:
    """Loads what the probes of an experiment's runs found.

    Args:
        path: Folder of the experiment, as in `load_runs`.

    Returns:
        One row per run, iteration, measure and layer: the description as in `load_runs`,
        then `iteration, measure, position` (the layer, from 1 at the stem, or the lag of an
        autocorrelation), `name` (of the layer), `value`.

    Raises:
        StudyError: As in `read_study`.
    """
    study = read_study(path)
    _warn(study)
    return study.probes


def load_runs(path: str | Path) -> pd.DataFrame:
    """Loads an experiment's runs.

    Args:
        path: Folder of the experiment, such as `runs/quick`.

    Returns:
        One row per run and logged iteration: `run_id, kind, shortcut` (missing for
        plain), `depth, seed, data, schedule, experiment, state, variant` (what sets a
        network apart beside family and depth, such as "Xavier"; mostly empty), `settings`
        (all others that are not the paper's protocol), then the columns of metrics.csv, then
        `phase` (how often the learning rate had fallen) and `started` (whether the run's
        training loss has left chance, 0.98 ln(classes), over its last tenth so far),
        `paper_iterations` (how many, from the first on, follow the paper's protocol), then, of
        runs that were made of a trained shallower network and identity layers, `start` (its
        depth) and `base` (its family, such as "residual-A"); both are missing for all others.
        Errors are percent, losses nats; a column is missing between evaluations. Runs in
        every state are there; `state` tells them apart. A damaged run is left out with a
        `DamagedRunWarning` that names it.

    Raises:
        StudyError: As in `read_study`.
    """
    study = read_study(path)
    _warn(study)
    return study.runs


def costs_of(study: Study) -> pd.DataFrame:
    """What the manifests say of cost, one row per readable run.

    Returns:
        `run_id, family, depth, seed, state, parameters, multiply_adds` (of one image),
        `seconds` (training time), `waiting_seconds` (of it, waiting for data),
        `peak_memory_bytes, device_name, host`; a number is
        missing where the run has not come so far.
    """
    names, machines = ("state", *COSTS), study.machines
    rows = [
        identity(run_id, config)
        | {name: study.manifests[run_id].get(name) for name in names}
        | dict(zip(("host", "device_name"), machines[run_id], strict=True))
        for run_id, config in study.configs.items()
    ]
    columns = [*IDENTITY, *names, "device_name", "host"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(COSTS, float))

"""Reads run folders into tidy frames."""

import io
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.manifest import check_manifest, classes_of, data_of
from analysis.networks import network_of, variant_of
from analysis.protocol import paper_iterations, settings_of
from analysis.study import Study
from resnet_study.config import RunConfig
from resnet_study.store.folder import COMPLETE, METRICS, PROBES, RunFolder
from resnet_study.system.errors import StudyError

DESCRIPTION = (
    "run_id", "kind", "shortcut", "depth", "seed", "data", "schedule", "experiment", "state",
    "variant", "settings",
)  # fmt: skip
# Columns of `load_runs` after those of metrics.csv: first those of a row, then those of a run.
OF_ROWS = ("phase", "started")
OF_RUNS = ("paper_iterations", "start", "base")
TYPES: Any = {"shortcut": "string", "start": "Int64", "base": "string"}

# A network has started when its loss is below this share of the loss of a guess, ln(classes). With
# ten classes the limit is 2.257; recorded losses leave a gap between 2.250 and 2.287.
CHANCE = 0.98


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
    if found := {file.parent for name in files for file in path.glob(f"*/{name}")}:
        return [RunFolder(folder) for folder in sorted(found)]
    below: set[Path] = set()
    for depth in range(2, 6):
        below = below or {file.parent.parent for file in path.glob("*/" * depth + files[0])}
    hint = f"; here: {' '.join(map(str, sorted(below)))}" if below else ""
    raise StudyError("runs", path, f"holds no runs; name a folder such as runs/quick{hint}")


def read_study(path: str | Path, name: str | None = None) -> Study:
    """Reads an experiment's folder.

    Args:
        path: Folder of the experiment, such as `runs/quick`.
        name: The study's name; by default the folder's.

    Raises:
        StudyError: The folder is missing, holds no runs, or holds runs of one protocol that were
            trained on different images.
    """
    path = Path(path)
    configs, manifests, metrics, probes, damaged = {}, {}, {}, {}, {}
    for folder in run_folders(path):
        run_id = folder.path.name
        try:
            found = _read_run(folder)
        except StudyError as error:
            damaged[run_id] = str(error)
            continue
        configs[run_id], manifests[run_id], metrics[run_id], probes[run_id] = found
    settings = {
        run: " ".join(map("=".join, own.items())) for run, own in settings_of(configs).items()
    }
    descriptions = [
        _description(config, manifests[run]["state"], settings[run])
        for run, config in configs.items()
    ]
    columns = [*DESCRIPTION[1:], *OF_RUNS]
    described = pd.DataFrame(descriptions, pd.Index(configs, name="run_id"), columns).astype(TYPES)
    _check_images(path, manifests, described["settings"])
    return Study(
        name or path.resolve().name,
        path,
        _joined(metrics, described, [*METRICS, *OF_ROWS, *OF_RUNS]),
        configs,
        manifests,
        damaged,
        _joined(probes, described, [*PROBES, "started"]),
    )


def _read_run(
    folder: RunFolder,
) -> tuple[RunConfig, dict[str, Any], pd.DataFrame | None, pd.DataFrame | None]:
    """A run's config, manifest, metrics and probes; a table is None where there is no file."""
    manifest = folder.read_manifest()
    if manifest is None:
        raise StudyError("manifest", folder.manifest_file, "is missing")
    check_manifest(manifest, folder.manifest_file)
    config = folder.read_config()
    if config.run_id != folder.path.name and (folder.path.parent / config.run_id).is_dir():
        raise StudyError("run", folder.path, f"is a copy of {config.run_id}")
    metrics, probes = None, read_probes(folder)
    # A run that has just begun, or failed at once, has no rows yet and is not damaged.
    if manifest["state"] in COMPLETE or folder.metrics_file.exists():
        metrics = read_metrics(folder)
        metrics["phase"] = phases(config, metrics)
        metrics["started"] = left_chance(metrics, classes_of(manifest))
    if probes is not None:
        probes["started"] = metrics is not None and bool(metrics["started"].all())
    return config, manifest, metrics, probes


def read_metrics(folder: RunFolder) -> pd.DataFrame:
    """Reads metrics.csv as numbers, without a last line that is still being written.

    Raises:
        StudyError: The file is missing or damaged, or is not a table of the metrics' columns.
    """
    text = io.StringIO(folder.read_metrics())
    frame = _read_table("metrics", folder.metrics_file, text, METRICS, float)
    iterations = frame["iteration"].to_numpy()
    if not (np.isfinite(iterations).all() and (np.diff(iterations, prepend=-1) > 0).all()):
        raise StudyError("metrics", folder.metrics_file, "has iterations that do not increase")
    return frame.astype({"iteration": "int64"})


def read_probes(folder: RunFolder) -> pd.DataFrame | None:
    """Reads probes.csv; None if there is no such file.

    Raises:
        StudyError: The file is damaged.
    """
    file, types = folder.probes_file, {"measure": str, "name": str, "value": float}
    return _read_table("probes", file, file, PROBES, types) if file.exists() else None


def _read_table(
    name: str, path: Path, source: Path | io.StringIO, columns: Sequence[str], types: Any
) -> pd.DataFrame:
    """Reads a table of a run's folder, which must have the given columns."""
    try:
        frame = pd.read_csv(source, dtype=types)
    except (OSError, ValueError) as error:
        short = " ".join(str(error).split())
        raise StudyError(name, path, f"cannot be read ({short})") from error
    if tuple(frame.columns) != tuple(columns):
        raise StudyError(name, path, f"must have the columns {', '.join(columns)}")
    return frame


def phases(config: RunConfig, metrics: pd.DataFrame) -> np.ndarray:
    """How often the learning rate had fallen in a step before each row's last iteration.

    The configuration has the milestones; falls after a plateau are read from the rows.
    """
    if config.schedule.plateau.patience is not None:
        return (metrics["learning_rate"].diff() < 0).cumsum().to_numpy()
    falls = config.schedule.milestones if config.schedule.gamma < 1 else []
    return np.searchsorted(sorted(falls), metrics["iteration"], side="left")


def left_chance(metrics: pd.DataFrame, classes: int) -> bool:
    """Whether the mean training loss over the last tenth of the iterations is below chance."""
    tail = metrics["iteration"] > 0.9 * metrics["iteration"].max()
    return bool(metrics.loc[tail, "train_loss"].mean() < CHANCE * math.log(classes))


def _description(config: RunConfig, state: str, settings: str) -> dict[str, Any]:
    """The values of a run in the columns `DESCRIPTION`, without its id, and `OF_RUNS`."""
    shallow = config.shallower()
    validation = ", validation images in place of test images" * bool(config.data.validation_images)
    return {
        "kind": config.model.kind,
        "shortcut": config.model.shortcut,
        "depth": config.model.depth,
        "seed": config.seed,
        "data": config.data.title + validation,
        "schedule": config.schedule.name,
        "experiment": config.experiment_name,
        "state": state,
        "variant": variant_of(config),
        "settings": settings,
        "paper_iterations": paper_iterations(config),
        "start": shallow and shallow.model.depth,
        "base": shallow and network_of(shallow).family,
    }


def _check_images(path: Path, manifests: dict[str, dict[str, Any]], settings: pd.Series) -> None:
    """Refuses runs of equal settings but different images, which merged folders may hold."""
    first: dict[str, tuple[str, object]] = {}
    for run_id, manifest in manifests.items():
        images = data_of(manifest).get("fingerprint")
        if images is None:
            continue
        other, expected = first.setdefault(settings[run_id], (run_id, images))
        if images != expected:
            allowed = (
                f"was trained on other images (fingerprint {images}) than {other} (fingerprint "
                f"{expected}); move the runs of one of these fingerprints to a folder of their own"
            )
            raise StudyError("run", path / run_id, allowed)


def _joined(
    tables: dict[str, pd.DataFrame | None], described: pd.DataFrame, columns: Sequence[str]
) -> pd.DataFrame:
    """The rows of all runs: the description of the run, then the given columns."""
    frames = {run_id: table for run_id, table in tables.items() if table is not None}
    if not frames:
        return pd.DataFrame(columns=[*DESCRIPTION, *columns])
    # All at once: a frame of descriptions for each run takes longer than reading the run.
    rows = pd.concat(frames.values(), ignore_index=True)
    repeated = described.loc[np.repeat([*frames], [*map(len, frames.values())])].reset_index()
    return pd.concat([repeated, rows], axis=1)[[*DESCRIPTION, *columns]]


def read_studies(paths: Sequence[str | Path]) -> list[Study]:
    """Reads several experiments' folders, and names them as `names_of` does.

    Raises:
        StudyError: A folder is missing, holds no runs, or is named twice.
    """
    return [read_study(path, name) for path, name in zip(paths, names_of(paths), strict=True)]


def names_of(paths: Sequence[str | Path]) -> list[str]:
    """Names for several folders: the shortest ends of their paths that are all different.

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


def load_runs(path: str | Path) -> pd.DataFrame:
    """Loads an experiment's runs.

    Args:
        path: Folder of the experiment, such as `runs/quick`.

    Returns:
        One row per run and logged iteration: `run_id, kind, shortcut` (missing for
        plain), `depth, seed, data, schedule, experiment, state, variant` (what sets a
        network apart besides family and depth, such as "Xavier"; mostly empty), `settings`
        (all other settings that differ from the paper's protocol), then the columns of
        metrics.csv, then `phase` (how often the learning rate had fallen) and `started` (whether
        the mean training loss of the last tenth of the iterations so far is below chance,
        0.98 ln(classes)), then `paper_iterations` (how many iterations, from the first on, follow
        the paper's protocol), `start` and `base`, the depth and the family (such as
        "residual-A") of the trained network to which identity layers were added; the two are
        missing for all other runs. Errors are in percent, losses in nats; columns of evaluations
        are missing in rows without one. The frame holds runs in every `state`. A damaged run is
        left out, with a `DamagedRunWarning` that names it.

    Raises:
        StudyError: As in `read_study`.
    """
    return _read_warning(path).runs


def load_probes(path: str | Path) -> pd.DataFrame:
    """Loads the probes of an experiment's runs.

    Args:
        path: Folder of the experiment, as in `load_runs`.

    Returns:
        One row per run, iteration, measure and layer: the description as in `load_runs`,
        then `iteration, measure, position` (the layer, from 1 at the stem, or the lag of an
        autocorrelation), `name` (of the layer), `value`, then `started`, as there.

    Raises:
        StudyError: As in `read_study`.
    """
    return _read_warning(path).probes


def _read_warning(path: str | Path) -> Study:
    """Reads a study; warns about each damaged run at the line that called `load_…`."""
    study = read_study(path)
    for run_id, problem in study.damaged.items():
        warnings.warn(DamagedRunWarning(f"{study.place(run_id)}: {problem}"), stacklevel=3)
    return study

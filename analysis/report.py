"""Writes a study's figures, tables and verdict into one folder."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import (
    error_by_depth,
    learning_curves,
    optimisation_speed,
    shortcut_options,
)
from analysis.figures.style import RC, provenance
from analysis.paper import of_the_papers_protocol
from analysis.statistics import final_errors
from analysis.tables import costs, latex, markdown, results
from analysis.verdict import verdict
from resnet_study.files import write_text, writing

FORMATS = ("png", "svg", "pdf")


def write_report(
    runs: pd.DataFrame, manifests: pd.DataFrame, output: Path
) -> tuple[dict[str, Any], list[Path]]:
    """Draws and writes everything for the runs of one protocol.

    Args:
        runs: As from `load_runs`.
        manifests: As from `load_manifests`, of the same runs.
        output: Folder for the files; made if missing.

    Returns:
        The verdict, and the paths written.

    Raises:
        StorageError: A file cannot be written.
    """
    written: list[Path] = []
    figures = {
        "learning_curves": learning_curves(runs),
        "training_error_by_depth": error_by_depth(runs, "train_error"),
        "test_error_by_depth": error_by_depth(runs, "test_error"),
        "gap_by_depth": error_by_depth(runs, "gap"),
        "optimisation_speed": optimisation_speed(runs),
        "shortcut_options": shortcut_options(runs),
    }
    for name, figure in figures.items():
        written += _write_figure(figure, output / name)

    found = verdict(runs)
    tables = {
        "results": (results(final_errors(runs), of_the_papers_protocol(runs)), "Final errors."),
        "costs": (costs(manifests), "Size and cost of the networks."),
    }
    texts = {"verdict.json": json.dumps(found, indent=2) + "\n"}
    for name, (table, title) in tables.items():
        texts[f"{name}.csv"] = table.to_csv(index=False)
        texts[f"{name}.md"] = markdown(table)
        texts[f"{name}.tex"] = latex(table, f"{title} {provenance(runs)}")
    for name, text in texts.items():
        write_text(output / name, text)
        written.append(output / name)
    return found, written


def _write_figure(figure: Figure, stem: Path) -> list[Path]:
    paths = []
    for suffix in FORMATS:
        stream = io.BytesIO()
        # Without a date the same runs give the same file.
        dated = {"svg": "Date", "pdf": "CreationDate"}.get(suffix)
        metadata = None if dated is None else {dated: None}
        # Some settings, such as resolution and the ids inside an SVG, act on saving.
        with mpl.rc_context(RC):
            figure.savefig(stream, format=suffix, metadata=metadata)
        path = stem.with_suffix(f".{suffix}")
        with writing(path) as target:
            target.write(stream.getvalue())
        paths.append(path)
    return paths

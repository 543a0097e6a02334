"""Writes a study's figures, tables and verdict into one folder."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import error_by_depth, learning_curves
from analysis.figures.style import RC
from analysis.statistics import final_errors
from analysis.tables import markdown, results
from analysis.verdict import verdict
from resnet_study.files import write_text, writing

FORMATS = ("png", "svg")


def write_report(runs: pd.DataFrame, output: Path) -> tuple[dict[str, Any], list[Path]]:
    """Draws and writes everything for the runs of one protocol.

    Args:
        runs: As from `load_runs`.
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
    }
    for name, figure in figures.items():
        written += _write_figure(figure, output / name)

    table = results(final_errors(runs))
    found = verdict(runs)
    for name, text in (
        ("results.csv", table.to_csv(index=False)),
        ("results.md", markdown(table)),
        ("verdict.json", json.dumps(found, indent=2) + "\n"),
    ):
        write_text(output / name, text)
        written.append(output / name)
    return found, written


def _write_figure(figure: Figure, stem: Path) -> list[Path]:
    paths = []
    for suffix in FORMATS:
        stream = io.BytesIO()
        # Without a date the same runs give the same file.
        metadata = {"Date": None} if suffix == "svg" else None
        # Some settings, such as resolution and the ids inside an SVG, act on saving.
        with mpl.rc_context(RC):
            figure.savefig(stream, format=suffix, metadata=metadata)
        path = stem.with_suffix(f".{suffix}")
        with writing(path) as target:
            target.write(stream.getvalue())
        paths.append(path)
    return paths

"""Studies side by side: final errors against depth, a panel per study."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.drawing import Drawing
from analysis.figures.error_by_depth import TITLES, draw_families
from analysis.figures.pointer import describe_axes
from analysis.figures.style import explained, panels, plain_text, print_style, provenance

ERRORS = ("train_error", "test_error")


@print_style()
def side_by_side(runs: pd.DataFrame) -> Figure:
    """Draws final training and test errors against depth, a column per study.

    Args:
        runs: As from `load_runs`, with a column `study` that names each run's study; only
            finished runs count.

    Returns:
        A figure with training errors above and test errors below, on shared axes.
    """
    studies = {str(study): part for study, part in runs.groupby("study", sort=False)}
    figure, grid = panels(len(studies), 3.3, 6.6, margin=1.4, rows=2)
    for column, (study, part) in enumerate(studies.items()):
        for axes, error in zip(grid[:, column], ERRORS, strict=True):
            draw_families(axes, part, error)
            axes.set_title(plain_text(study))
        grid[0, column].set_xlabel("")
    tops = [[axes.get_ylim()[1] for axes in row] for row in grid]
    for row, top, error in zip(grid, tops, ERRORS, strict=True):
        row[0].set_ylim(0, max(top))
        row[0].set_ylabel(TITLES[error])
        for axes in row:
            describe_axes(axes, x="depth")
    labelled = {
        label: handle
        for axes in grid[0]
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    lines = [f"{study}: {provenance(part)}" for study, part in studies.items()]
    lines.append("Bars: 95 % intervals over seeds; dashes: each seed.")
    return explained(figure, "\n".join(lines), list(labelled.values()))


FIGURE = Drawing(
    "side_by_side",
    12,
    side_by_side,
    "Final errors against depth",
    "Points are means over seeds, bars their 95 % intervals, dashes single runs. Hollow points "
    "are networks that did not start.",
    "comparison",
)

"""Final error against depth: with the training error, the figure of the study."""

from __future__ import annotations

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.style import FAMILIES, RC, caption, families_in, family_title, provenance
from analysis.statistics import FINAL_SHARE, by_cell, final_errors

TITLES = {
    "train_error": "final training error (%)",
    "clean_train_error": "final clean training error (%)",
    "test_error": "final test error (%)",
    "gap": "final test minus training error (points)",
}
MEANINGS = {
    "train_error": "Training error: running mean over augmented mini-batches.",
    "clean_train_error": "Training error in evaluation mode, without augmentation.",
    "test_error": "Test error: single view, evaluation mode.",
    "gap": "Both in evaluation mode.",
}


def error_by_depth(runs: pd.DataFrame, error: str = "train_error") -> Figure:
    """Draws the final error against depth, one line per family.

    Args:
        runs: As from `load_runs`, or a part of it; only finished runs count.
        error: "train_error", "clean_train_error", "test_error", or "gap" for test minus
            clean training error, which over-fitting would raise with depth.

    Returns:
        A figure with the mean over seeds as a line and each seed as a small mark.
    """
    finals = final_errors(runs)
    cells = by_cell(finals, error)
    depths = sorted(int(depth) for depth in cells["depth"].unique())
    with mpl.rc_context(RC):
        figure = Figure(figsize=(5.6, 4.1), layout="constrained")
        axes = figure.subplots()
        for family in families_in(finals):
            style = FAMILIES[family]
            line = cells[cells["family"] == family]
            axes.plot(
                line["depth"], line["mean"], markersize=5, label=family_title(family), **style
            )
            if finals["seed"].nunique() > 1:
                seeds = finals[finals["family"] == family]
                axes.plot(
                    seeds["depth"],
                    seeds[error],
                    linestyle="none",
                    marker=style["marker"],
                    color=style["color"],
                    markersize=2.5,
                    alpha=0.5,
                )
        axes.set_xticks(depths)
        axes.set_xlabel("depth (weighted layers)")
        axes.set_ylabel(TITLES[error])
        if error == "gap":
            axes.axhline(0, color="#444444", linewidth=0.8)
        else:
            axes.set_ylim(bottom=0)
        if len(cells):
            figure.legend(loc="outside upper center", ncols=len(FAMILIES))
        finished = runs[runs["state"] == "finished"]
        caption(
            figure,
            f"{provenance(finished)}\nFinal: mean over the last {FINAL_SHARE:.0%} of "
            f"iterations{', small marks: each seed' * (finals['seed'].nunique() > 1)}. "
            f"{MEANINGS[error]}",
        )
    return figure

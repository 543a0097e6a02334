"""Final error against depth: with the training error, the figure of the study."""

from __future__ import annotations

from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures import style
from analysis.figures.drawing import Drawing
from analysis.figures.pointer import describe, describe_axes
from analysis.networks import networks_in
from analysis.statistics import by_cell, final_errors, final_share

# With more, marks of single seeds would hide one another, and be most of the page.
MOST_SEEDS = 30
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


@style.print_style()
def error_by_depth(runs: pd.DataFrame, error: str = "train_error") -> Figure:
    """Draws the final error against depth, one line per family.

    Args:
        runs: As from `load_runs`, or a part of it; only finished runs count.
        error: "train_error", "clean_train_error", "test_error", or "gap" for test minus
            clean training error, which over-fitting would raise with depth.

    Returns:
        A figure with the mean over seeds as a line, its 95 % interval as bars, and each
        seed as a small mark.
    """
    several = runs["seed"].nunique() > 1
    figure = Figure(figsize=(4.4, 3.6), layout="constrained")
    axes = figure.subplots()
    draw_families(axes, runs, error)
    axes.set_ylabel(TITLES[error])
    describe_axes(axes, x="depth")
    finished = runs[runs["state"] == "finished"]
    dashes = "; dashes: each seed" * (runs["seed"].nunique() <= MOST_SEEDS)
    seeds_shown = f" Bars: 95 % intervals over seeds{dashes}." if several else ""
    hollow = (
        "" if final_errors(runs)["started"].all() else " Hollow: did not start, or not finished."
    )
    return style.explained(
        figure,
        f"{style.provenance(finished)}\nFinal: mean over the last "
        f"{100 * final_share(runs):.0f} % of iterations.{seeds_shown}{hollow}\n"
        f"{MEANINGS[error]}",
    )


def draw_families(axes: Axes, runs: pd.DataFrame, error: str) -> None:
    """Draws each family's mean final error with its interval, and each seed."""
    finals = final_errors(runs)
    cells = by_cell(finals, error)
    never = finals.loc[~finals["started"], ["family", "depth"]].drop_duplicates()
    networks = networks_in(finals)
    for place, network in enumerate(networks):
        look = style.style_of(network)
        color = look["color"]
        aside = style.beside(axes, place - (len(networks) - 1) / 2)
        facts = {"family": network.title, "y": TITLES[error]}
        line = cells[cells["family"] == network.family].dropna(subset=["mean"])
        (means,) = axes.plot(
            line["depth"], line["mean"], markersize=5, label=network.title, transform=aside, **look
        )
        notes = [_interval(cell) for _, cell in line.iterrows()]
        describe(means, name=network.title, x=list(line["depth"]), note=notes, **facts)
        unstarted = line.merge(never)
        hollow = look | {"linestyle": "none", "markerfacecolor": "white", "markersize": 5}
        (marks,) = axes.plot(unstarted["depth"], unstarted["mean"], transform=aside, **hollow)
        describe(marks, mark="hollow", **facts)
        bars = axes.vlines(
            line["depth"], line["low"], line["high"], color, linewidth=1, transform=aside
        )
        describe(bars, mark="bars", **facts)
        if 1 < finals["seed"].nunique() <= MOST_SEEDS:
            seeds = finals[finals["family"] == network.family]
            dashes = style.SEEDS | {"color": color, "markersize": 6}
            (marks,) = axes.plot(seeds["depth"], seeds[error], transform=aside, **dashes)
            describe(marks, name=list(seeds["run_id"]), x=list(seeds["depth"]), **facts)
    style.depth_axis(axes, finals)
    _set_limits(axes, cells, finals[error])


def _interval(cell: pd.Series) -> str:
    """Describes a mean: its number of seeds and their interval."""
    if pd.isna(cell["low"]):
        return "one seed"
    return f"mean of {cell['n']} seeds, 95 % interval {cell['low']:.2f} to {cell['high']:.2f}"


def _set_limits(axes: Axes, cells: pd.DataFrame, values: pd.Series) -> None:
    """Limits that hold every run; the bar of a few seeds may reach beyond the possible errors."""
    if values.name != "gap":
        axes.set_ylim(0, min(102.0, 1.05 * max(values.max(), cells["high"].max(), 1.0)))
        return
    axes.axhline(0, color="#444444", linewidth=0.8)
    if values.notna().any():
        # Without the bars: one wide bar would flatten all the lines.
        margin = max(1.0, 0.6 * (values.max() - values.min()))
        axes.set_ylim(min(values.min(), 0) - margin, max(values.max(), 0) + margin)


def _drawing(name: str, order: float, error: str, choice: str) -> Drawing:
    return Drawing(
        name,
        order,
        partial(error_by_depth, error=error),
        "Final error against depth",
        "Points are means over seeds, bars their 95 % intervals, dashes single runs. A family "
        "degrades where its training error rises with depth; over-fitting would show in the gap. "
        "Hollow points are networks that did not start. Point at a mark to see its run or mean.",
        "answer",
        lambda runs: bool((runs["state"] == "finished").any()),
        choice=choice,
    )


TRAINING = _drawing("training_error_by_depth", 2, "train_error", "training")
CLEAN = _drawing("clean_error_by_depth", 2.5, "clean_train_error", "training, clean")
TEST = _drawing("test_error_by_depth", 3, "test_error", "test")
GAP = _drawing("gap_by_depth", 4, "gap", "test minus clean training")

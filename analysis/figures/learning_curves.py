"""Learning curves in the form of He et al. 2015, Figure 6: one panel per family."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from analysis.curves import drawn_runs, error_window, milestones
from analysis.figures import style
from analysis.figures.drawing import Drawing
from analysis.figures.pointer import describe, describe_axes
from analysis.networks import add_family, family_title, networks_in
from analysis.paper import figure6_curves, shared_iterations
from analysis.statistics import NAMED, at_chance

STYLES = {"train_error": "--", "test_error": "-"}
# With more seeds in a cell, thin lines would hide one another; the band stands for them.
MOST_LINES = 10
# Most vertices of a figure: a browser still draws and searches these with ease.
MOST_POINTS = 200_000
# Of the paper's own curves.
PUBLISHED: dict[str, Any] = {"alpha": 0.4, "linewidth": 3, "zorder": 1}


@style.print_style()
def learning_curves(runs: pd.DataFrame) -> Figure:
    """Draws training error (dashed) and test error (solid) against iterations.

    Args:
        runs: As from `load_runs`, or a part of it. Of several seeds the finished ones are
            drawn, where there are any.

    Returns:
        A figure with one panel per family, depth by colour, and vertical lines where the rate
        fell by a step.
        Several seeds are thin lines, with their mean and a band of one standard deviation.
        Networks whose training loss is at chance are grey.
        The paper's own curves lie under ours, broad and pale, over the iterations in which all
        runs follow its protocol.
    """
    runs = drawn_runs(runs)
    networks = networks_in(runs)
    published = _published(runs)
    colors = style.depth_colors(runs)
    stuck = at_chance(runs)
    columns = min(max(len(networks), 1), 4)
    rows = -(-max(len(networks), 1) // columns)
    figure = Figure(
        figsize=(1.2 + 2.9 * columns, 1.1 + 2.8 * rows), layout=ConstrainedLayoutEngine(w_pad=0.1)
    )
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for spare in grid.flat[len(networks) :]:
        spare.set_axis_off()
    bottom, top = error_window(runs)
    if np.isfinite(top):
        grid[0, 0].set_ylim(bottom, top)
    most_rows = _most_rows(runs)
    for axes, network in zip(grid.flat, networks, strict=False):
        family = network.family
        shades = {d: style.NOT_STARTED if (family, d) in stuck else c for d, c in colors.items()}
        _draw_network(axes, runs[runs["family"] == family], shades, most_rows)
        _draw_published(axes, published[published["family"] == family], colors)
        axes.set_title(network.title)
        describe_axes(axes, x="iteration", family=network.title)
    for axes in grid[:, 0]:
        axes.set_ylabel("error (%)")
    named = ", ".join(f"{family_title(f)} at {depth} layers" for f, depth in sorted(stuck))
    grey = f" Grey: did not start (training loss at chance): {named}." * bool(stuck)
    several = runs["seed"].nunique() > 1
    seeds = " Thick: mean over seeds; thin: each seed; band: one standard deviation." * several
    return style.explained(
        figure,
        f"{style.provenance(runs)}{seeds}\n"
        f"Training error: running mean over augmented mini-batches.{grey}",
        _legend(runs, colors, bool(stuck), not published.empty),
    )


def _legend(
    runs: pd.DataFrame, colors: dict[int, style.Color], stuck: bool, published: bool
) -> list[Line2D]:
    handles = [
        *style.depth_handles(colors),
        style.sample("training", linestyle="--", linewidth=1.0),
        style.sample("test", linewidth=1.6),
    ]
    if any(milestones(part) for _, part in runs.groupby("family")):
        handles.append(style.sample("rate lowered", color="#999999", linestyle=":", linewidth=0.8))
    if stuck:
        handles.append(style.sample("did not start", color=style.NOT_STARTED))
    if published:
        handles.append(style.sample("He et al. 2015, Figure 6", color="#BBBBBB", linewidth=3))
    return handles


def _most_rows(runs: pd.DataFrame) -> int:
    """Vertices of each curve, so that all together have `MOST_POINTS`."""
    seeds = runs.groupby(["family", "depth"])["run_id"].nunique()
    curves = len(STYLES) * (len(seeds) + seeds[seeds <= MOST_LINES].sum())
    return int(MOST_POINTS // max(curves, 1))


def _draw_network(axes: Axes, runs: pd.DataFrame, colors: dict[int, Any], most_rows: int) -> None:
    """The curves of one family."""
    for milestone in milestones(runs):
        axes.axvline(milestone, color="#999999", linewidth=0.8, linestyle=":")
    for depth, color in colors.items():
        for column in STYLES:
            _draw_seeds(axes, runs[runs["depth"] == depth], column, color, most_rows)
    style.iterations_axis(axes)


def _draw_seeds(axes: Axes, runs: pd.DataFrame, column: str, color: Any, most_rows: int) -> None:
    """The mean over seeds; with several of them the band, and each seed as a thin line."""
    seeds = runs.pivot_table(index="iteration", columns="run_id", values=column)
    if seeds.empty:
        return
    # Thinned from the end, so that each curve keeps its last row.
    seeds = seeds[:: -(len(seeds) // most_rows + 1)][::-1]
    common = seeds.loc[: seeds[::-1].notna().idxmax().min()]
    mean = common.mean(axis="columns")
    look, facts = STYLES[column], _facts(runs, column)
    name = seeds.columns[0]
    if len(seeds.columns) > 1:
        name = f"mean of {len(seeds.columns)} seeds"
        deviation = common.std(axis="columns")
        band = axes.fill_between(
            mean.index, mean - deviation, mean + deviation, color=color, alpha=0.12, linewidth=0
        )
        describe(band, **facts)
    if 1 < len(seeds.columns) <= MOST_LINES:
        thin = LineCollection(
            [seed.dropna().reset_index().to_numpy() for _, seed in seeds.items()],
            linestyles=look,
            colors=[color],
            linewidths=0.4,
            alpha=0.7,
        )
        axes.add_collection(thin, autolim=False)
        describe(thin, name=list(seeds.columns), **facts)
    width = 1.0 if look == "--" else 1.6
    (line,) = axes.plot(mean.index, mean, linestyle=look, color=color, linewidth=width)
    describe(line, name=name, **facts)


def _published(runs: pd.DataFrame) -> pd.DataFrame:
    """The paper's curves of the same networks, over the iterations of its protocol."""
    curves = add_family(figure6_curves())
    curves = curves[curves["iteration"] <= shared_iterations(runs)]
    return curves.merge(runs[["family", "depth"]].drop_duplicates())


def _draw_published(axes: Axes, curves: pd.DataFrame, colors: dict[int, style.Color]) -> None:
    """The paper's curves of a family, broad and pale, under ours."""
    for depth, color in colors.items():
        of_depth = curves[curves["depth"] == depth]
        for column, look in STYLES.items():
            curve = of_depth[["iteration", column]].dropna()
            if curve.empty:
                continue
            (line,) = axes.plot(curve["iteration"], curve[column], look, color=color, **PUBLISHED)
            describe(line, name="He et al. 2015, Figure 6", **_facts(of_depth, column))


def _facts(runs: pd.DataFrame, column: str) -> dict[str, Any]:
    """What the page shows about a network's curve and switches it by."""
    network = runs.iloc[0]
    return {
        "family": family_title(network["family"]),
        "depth": int(network["depth"]),
        "y": f"{NAMED[column]} error (%)",
    }


FIGURE = Drawing(
    "learning_curves",
    1,
    learning_curves,
    "Learning curves",
    "As in He et al. 2015, Figure 6: training error dashed (running mean over "
    "augmented mini-batches), test error solid, depth by colour. Networks that did not start, "
    "with a training loss at chance, are grey. Broad pale curves, if there are any, "
    "are the paper's own. Point at a curve to see its run and value.",
)

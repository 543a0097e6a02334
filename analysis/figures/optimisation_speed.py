"""Speed of optimisation: iterations until given training errors are reached."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from analysis.figures import style
from analysis.figures.drawing import Drawing
from analysis.networks import networks_in
from analysis.statistics import ended, iterations_to_reach

LEVELS = (75.0, 50.0, 25.0, 10.0, 5.0)


def levels_worth_a_panel(
    runs: pd.DataFrame, levels: tuple[float, ...] = LEVELS
) -> tuple[float, ...]:
    """The levels that at least a quarter of the runs reach, and not all in their first row."""
    reached = iterations_to_reach(runs, levels).groupby("level", sort=False)["iterations"]
    often = reached.agg(lambda iterations: iterations.notna().mean()) >= 0.25
    at_once = reached.agg(lambda iterations: (iterations == runs["iteration"].min()).all())
    return tuple(often.index[often & ~at_once])


@style.print_style()
def optimisation_speed(runs: pd.DataFrame, levels: tuple[float, ...] = LEVELS) -> Figure:
    """Draws iterations to reach a training error, against depth, a panel per level.

    Args:
        runs: As from `load_runs`, or a part of it; only runs that have ended count.
        levels: Training errors in percent; see `levels_worth_a_panel`.

    Returns:
        A figure; a cross at the top is a run that has not reached the level.
    """
    runs = ended(runs)
    reached = iterations_to_reach(runs, levels)
    shown = levels_worth_a_panel(runs, levels)
    figure, (panels,) = style.panels(len(shown), 2.4, 3.6, margin=1.2)
    limit = 1.06 * float(runs["iteration"].max()) if len(runs) else 1.0
    networks = networks_in(runs)
    for axes, level in zip(panels, shown, strict=False):
        for place, network in enumerate(networks):
            look = style.style_of(network)
            color = look["color"]
            aside = style.beside(axes, place - (len(networks) - 1) / 2)
            part = reached[(reached["family"] == network.family) & (reached["level"] == level)]
            # A mean over only the runs that reached the level would be too low.
            mean = part.groupby("depth")["iterations"].agg(lambda i: i.mean(skipna=False))
            axes.plot(mean.index, mean, markersize=4, label=network.title, transform=aside, **look)
            # As shapes, many marks would be most of the page.
            seeds = style.SEEDS | {"rasterized": len(part) > 100, "markersize": 5}
            axes.plot(part["depth"], part["iterations"], color=color, transform=aside, **seeds)
            never = part[part["iterations"].isna()]["depth"]
            axes.plot(never, [limit] * len(never), "x", markersize=5, color=color, transform=aside)
        axes.set_title(f"down to {level:g} %")
        style.depth_axis(axes, runs)
        axes.tick_params(axis="x", labelsize=7)
        axes.set_ylim(0, 1.05 * limit)
    panels[0].set_ylabel("iterations to reach the training error")
    panels[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    return style.explained(
        figure,
        f"{style.provenance(runs)}\nLines: mean over seeds, where all reach the error; dashes: "
        "each run; ×: a run that does not reach it.\n"
        "Training error: running mean over augmented mini-batches.",
    )


FIGURE = Drawing(
    "optimisation_speed",
    5,
    optimisation_speed,
    "Speed of optimisation",
    "Iterations until a training error is first reached; a mean is drawn where all seeds "
    "reach it, dashes are single runs.",
    needs=lambda runs: bool(levels_worth_a_panel(ended(runs))),
)

"""What all figures share: colours, order of families, and the line that says of what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from matplotlib.transforms import ScaledTranslation, Transform

# Okabe and Ito's palette, safe for the colour-blind; markers and dashes carry the same
# distinction where colour is lost.
FAMILIES: dict[str, dict[str, Any]] = {
    "plain": {"color": "#D55E00", "marker": "o", "linestyle": "-"},
    "residual-A": {"color": "#0072B2", "marker": "s", "linestyle": "-"},
    "residual-B": {"color": "#009E73", "marker": "^", "linestyle": "--"},
    "residual-C": {"color": "#6A3D9A", "marker": "D", "linestyle": ":"},
}

Color = tuple[float, float, float, float]

RC: Any = {
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "svg.fonttype": "none",
    # Reproducible SVG: the same runs give the same file.
    "svg.hashsalt": "resnet_study",
}


def families_in(frame: pd.DataFrame) -> list[str]:
    """The families of a frame, plain first."""
    present = set(frame["family"])
    return [family for family in FAMILIES if family in present]


def depth_colors(depths: Sequence[int]) -> dict[int, Color]:
    """One colour per depth, the deeper the darker, so the order survives in grey."""
    ordered = sorted(depths)
    scale = mpl.colormaps["viridis_r"]
    places = [0.15 + 0.85 * i / max(len(ordered) - 1, 1) for i in range(len(ordered))]
    return {depth: scale(place) for depth, place in zip(ordered, places, strict=True)}


def provenance(runs: pd.DataFrame) -> str:
    """What a figure was made from: data, schedule, iterations, seeds."""
    if runs.empty:
        return "No runs."
    data = ", ".join(sorted(runs["data"].unique()))
    schedule = ", ".join(sorted(runs["schedule"].unique()))
    seeds = sorted(int(seed) for seed in runs["seed"].unique())
    shown = ", ".join(str(seed) for seed in seeds)
    return (
        f"Data: {data}. Schedule: {schedule}, {int(runs['iteration'].max()):,} iterations. "
        f"{'Seed' if len(seeds) == 1 else 'Seeds'}: {shown}."
    )


def caption(figure: Figure, text: str) -> None:
    """Writes a small line at the foot of a figure."""
    figure.supxlabel(text, fontsize=7.5, color="#555555", x=0.01, ha="left")


def depth_axis(axes: Axes, runs: pd.DataFrame) -> None:
    """Labels the x axis with the depths there are, and holds them all."""
    depths = sorted(int(depth) for depth in runs["depth"].unique())
    axes.set_xlabel("depth (weighted layers)")
    axes.set_xticks(depths)
    if depths:
        margin = 0.07 * max(depths[-1] - depths[0], 10)
        axes.set_xlim(depths[0] - margin, depths[-1] + margin)


def beside(axes: Axes, place: float) -> Transform:
    """Draws a few points aside of the data's own place, so that families do not hide others."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return axes.transData + ScaledTranslation(3.5 * place / 72, 0, figure.dpi_scale_trans)


def iterations_axis(axes: Axes) -> None:
    """Labels the x axis in iterations, with thousands set apart."""
    axes.set_xlabel("iteration")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlim(left=0)

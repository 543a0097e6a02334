"""What all figures share: colours, order of families, and the line that names the data."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation, Transform

from analysis.networks import Network, depths_in

# Okabe and Ito's palette, safe for the colour-blind; markers and dashes carry the same
# distinction where colour is lost.
FAMILIES: dict[tuple[str, str | None], dict[str, Any]] = {
    ("plain", None): {"color": "#D55E00", "marker": "o", "linestyle": "-"},
    ("residual", "A"): {"color": "#0072B2", "marker": "s", "linestyle": "-"},
    ("residual", "B"): {"color": "#009E73", "marker": "^", "linestyle": "--"},
    ("residual", "C"): {"color": "#6A3D9A", "marker": "D", "linestyle": ":"},
}

# A variant of a family has the family's colour, paler, and a mark of its own.
VARIANTS: dict[str, dict[str, Any]] = {
    "span 1": {"marker": "v", "linestyle": ":"},
    "span 3": {"marker": "P", "linestyle": "-."},
    "Xavier": {"marker": "X", "linestyle": ":"},
}
OTHER_VARIANT: dict[str, Any] = {"marker": "D", "linestyle": "-."}

# Networks that did not start: their depth says nothing.
NOT_STARTED = "#A6A6A6"

Color = tuple[float, float, float, float]
Panels = tuple[Figure, np.ndarray]

# Text just above a bar.
ABOVE: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": 7}
# Marks of single seeds, beside the mean over seeds.
SEEDS: dict[str, Any] = {"linestyle": "none", "marker": "_", "alpha": 0.7}

RC: Any = {
    "figure.dpi": 100,
    "savefig.dpi": 200,
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
    # The page reads values from the vertices of curves.
    "path.simplify": False,
    "svg.fonttype": "none",
    # Reproducible SVG: the same runs give the same file.
    "svg.hashsalt": "resnet_study",
}


@contextmanager
def print_style() -> Iterator[None]:
    """Sets matplotlib's own defaults and `RC`, whatever the user's matplotlibrc says.

    A function that makes a figure has it as a decorator. Some settings, such as resolution and
    the ids inside an SVG, act on saving.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(RC)
        yield


def style_of(network: Network) -> dict[str, Any]:
    """Colour, marker and line of a family, or of a variant of one."""
    style = FAMILIES[network.kind, network.shortcut]
    if not network.variant:
        return style
    red, green, blue = (0.55 * c + 0.45 for c in mpl.colors.to_rgb(style["color"]))
    paler = mpl.colors.to_hex((red, green, blue))
    return VARIANTS.get(network.variant, OTHER_VARIANT) | {"color": paler}


def depth_colors(frame: pd.DataFrame) -> dict[int, Color]:
    """One colour per depth of a frame, the deeper the darker, so the order survives in grey."""
    ordered = depths_in(frame)
    scale = mpl.colormaps["viridis_r"]
    places = [0.15 + 0.85 * i / max(len(ordered) - 1, 1) for i in range(len(ordered))]
    return {depth: scale(place) for depth, place in zip(ordered, places, strict=True)}


def depth_handles(colors: dict[int, Color], all_started: bool = True) -> list[Line2D]:
    """Legend entries of depths that are told apart by colour alone, and of the grey lines."""
    handles = [sample(f"{depth} layers", color=color) for depth, color in colors.items()]
    return handles if all_started else [*handles, sample("did not start", color=NOT_STARTED)]


def draw_depths(axes: Axes, table: pd.DataFrame, colors: dict[int, Color], **look: Any) -> None:
    """Draws `value` against `position`, one line for each depth, grey if that did not start."""
    for depth, color in colors.items():
        line = table[table["depth"] == depth].sort_values("position")
        shade = color if line["started"].all() else NOT_STARTED
        axes.plot(line["position"], line["value"], color=shade, **look)


def sample(label: str, **look: Any) -> Line2D:
    """A legend's entry for lines of some look, which are dark grey where no colour is named."""
    return Line2D([], [], label=label, **{"color": "#444444"} | look)


def panels(columns: int, width: float, height: float, margin: float = 0.0, rows: int = 1) -> Panels:
    """A figure with a grid of axes; each row shares its y axis.

    Args:
        columns: Number of columns; there is always at least one.
        width: Of a column, in inches.
        height: Of the figure, in inches.
        margin: What the figure is wider than its columns, in inches.
        rows: Number of rows.

    Returns:
        The figure, and its axes of shape `(rows, columns)`.
    """
    columns = max(columns, 1)
    figure = Figure(figsize=(margin + width * columns, height), layout="constrained")
    return figure, figure.subplots(rows, columns, sharey="row", squeeze=False)


def provenance(runs: pd.DataFrame) -> str:
    """What a figure was made from: data, schedule, iterations, seeds."""
    if runs.empty:
        return "No runs."
    data = ", ".join(sorted(runs["data"].unique()))
    schedule = ", ".join(sorted(runs["schedule"].unique()))
    seeds = sorted(int(seed) for seed in runs["seed"].unique())
    shown = ", ".join(str(seed) for seed in seeds)
    if len(seeds) > 8 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        shown = f"{seeds[0]} to {seeds[-1]}"
    # Only a study of several has the column.
    devices = ", ".join(sorted(runs["device"].unique())) if "device" in runs else ""
    ends = runs.groupby("run_id")["iteration"].max()
    if "state" in runs:
        ends = ends[runs.groupby("run_id")["state"].first() == "finished"]
    upto = "up to " * (ends.nunique() > 1)
    return (
        f"Data: {data}. Schedule: {schedule}, {upto}{int(runs['iteration'].max()):,} iterations. "
        f"{'Seed' if len(seeds) == 1 else 'Seeds'}: {shown}.{_reduced(runs)}"
        f"{f' Devices: {devices}.' * bool(devices)}"
    )


def _reduced(runs: pd.DataFrame) -> str:
    """Settings that make a study smaller than its name says, if there are any."""
    if "settings" not in runs:
        return ""
    words = {
        "model.width": "width",
        "data.resolution": "resolution",
        "data.train_images": "training images",
        "data.classes": "classes",
    }
    pairs = [pair.partition("=") for pair in str(runs["settings"].iloc[0]).split(" ")]
    found = [f"{words[key]} {value}" for key, _, value in pairs if key in words]
    return f" {', '.join(found).capitalize()}." if found else ""


def caption(figure: Figure, text: str) -> None:
    """Writes small lines at the foot of a figure, wrapped to its width."""
    characters = int(figure.get_figwidth() * 18)
    text = plain_text(text)
    lines = [line for part in text.split("\n") for line in textwrap.wrap(part, characters)]
    figure.supxlabel("\n".join(lines), fontsize=7.5, color="#555555", x=0.01, ha="left")


def plain_text(text: str) -> str:
    """Text in which a dollar is a dollar, not the start of a formula."""
    return text.replace("$", r"\$")


def explained(figure: Figure, text: str, handles: Sequence[Any] | None = None) -> Figure:
    """Adds a legend above the panels and a caption below them.

    Args:
        figure: A figure with axes.
        text: What was drawn, and how to read it.
        handles: Entries of the legend; by default all that have a label in the first axes.

    Returns:
        The same figure.
    """
    labelled = figure.axes[0].get_legend_handles_labels()[0]
    legend(figure, labelled if handles is None else handles)
    caption(figure, text)
    return figure


def legend(figure: Figure, handles: Sequence[Any]) -> None:
    """Puts a legend above the panels, in as many rows as its width asks for."""
    if not handles:
        return
    labels = [str(handle.get_label()) for handle in handles]
    # An entry takes its letters and its sample line.
    widest = 0.075 * max(len(label) for label in labels) + 0.55
    columns = max(1, min(len(labels), int(figure.get_figwidth() / widest)))
    figure.legend(list(handles), labels, loc="outside upper center", ncols=columns)


def depth_axis(axes: Axes, runs: pd.DataFrame) -> None:
    """Labels the x axis with the depths there are, and holds them all."""
    depths = depths_in(runs)
    axes.set_xlabel("depth (weighted layers)")
    if depths and depths[-1] > 12 * depths[0]:
        axes.set_xscale("log")
        axes.set_xlim(0.85 * depths[0], 1.18 * depths[-1])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(depths, [str(depth) for depth in depths])
        return
    axes.set_xticks(depths)
    if depths:
        margin = 0.07 * max(depths[-1] - depths[0], 10)
        axes.set_xlim(depths[0] - margin, depths[-1] + margin)


def beside(axes: Axes, place: float) -> Transform:
    """Shifts what is drawn a few points sideways, so that families do not hide one another."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return axes.transData + ScaledTranslation(3.5 * place / 72, 0, figure.dpi_scale_trans)


def iterations_axis(axes: Axes) -> None:
    """Labels the x axis in iterations, with thousands set apart."""
    axes.set_xlabel("iteration")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlim(left=0)

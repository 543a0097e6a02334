"""How cost grows with depth, batch and workers, beside straight lines."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from analysis.figures.style import RC, caption

MEASURED: dict[str, Any] = {"color": "#0072B2", "marker": "o", "linestyle": "none", "markersize": 5}
LINE: dict[str, Any] = {"color": "#888888", "linewidth": 1, "linestyle": "--"}


def cost_growth(growth: dict[str, Any], about: str) -> Figure:
    """Draws time per iteration, memory and throughput as measured.

    Args:
        growth: As in benchmark.json.
        about: The machine, in a line.

    Returns:
        A figure of four panels. A dashed line is what exact proportion would be: a straight
        line through the measurements, or as many times one worker as there are workers.
    """
    with mpl.rc_context(RC):
        figure = Figure(figsize=(8.6, 6.2), layout="constrained")
        ((depth, batch), (memory, workers)) = figure.subplots(2, 2)
        _time(depth, pd.DataFrame(growth["depth"]), "depth", "depth (weighted layers), batch 128")
        _time(batch, pd.DataFrame(growth["batch"]), "batch_size", "batch size, 20 layers")
        _memory(memory, pd.DataFrame(growth["memory"]))
        _workers(workers, pd.DataFrame(growth["workers"]))
        caption(
            figure,
            f"{about}\nResidual networks, option A, width 16, 32×32 pixels, "
            f"{growth['precision']}, one thread.\nBelow right: at the quick scale, one thread per "
            "worker. Points: medians of rounds. Dashed: exact proportion.",
        )
    return figure


def departures(x: pd.Series, y: pd.Series) -> tuple[float, float, pd.Series]:
    """A straight line through points, by relative least squares.

    Returns:
        Its offset and slope, and each point's departure from it as a share of the line.
    """
    weights = 1 / y
    slope, offset = np.polyfit(x, y, 1, w=weights)
    line = offset + slope * x
    return float(offset), float(slope), (y - line) / line


def _time(axes: Axes, points: pd.DataFrame, key: str, title: str) -> None:
    x, y = points[key], 1000 * points["seconds_per_iteration"]
    offset, slope, off = departures(x, y)
    ends = pd.Series([0, 1.04 * x.max()])
    axes.plot(ends, offset + slope * ends, **LINE)
    axes.plot(x, y, **MEASURED)
    axes.set_xticks(x, [str(value) for value in x])
    _thin_out(axes, list(x))
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(title)
    axes.set_ylabel("time per iteration (ms)")
    unit = "layer" if key == "depth" else "image"
    axes.set_title(
        f"{offset:+.1f} ms + {slope:.3g} ms per {unit}; within {100 * off.abs().max():.0f} %"
    )


def _thin_out(axes: Axes, values: list[int]) -> None:
    """Leaves out labels that would touch their neighbours."""
    span, kept = max(values), [values[0]]
    for value in values[1:]:
        if value - kept[-1] > 0.07 * span:
            kept.append(value)
    axes.set_xticks(kept, [str(value) for value in kept])


def _memory(axes: Axes, points: pd.DataFrame) -> None:
    for recompute, part in points.groupby("activation_checkpointing"):
        style = MEASURED | ({"color": "#009E73", "marker": "^"} if recompute else {})
        x, y = part["depth"], part["peak_memory_bytes"] / 1e9
        offset, slope, _ = departures(x, y)
        ends = pd.Series([0, 1.04 * x.max()])
        axes.plot(ends, offset + slope * ends, **LINE)
        what = "activation checkpointing" if recompute else "as usual"
        axes.plot(x, y, **style, label=f"{what}: {1000 * slope:.1f} MB per layer")
    _thin_out(axes, sorted(points["depth"].unique()))
    axes.set_xlim(left=0)
    axes.set_ylim(0, 1.3 * axes.get_ylim()[1])
    axes.set_xlabel("depth (weighted layers), batch 128")
    axes.set_ylabel("peak memory of the process (GB)")
    axes.legend(loc="upper left")


def _workers(axes: Axes, points: pd.DataFrame) -> None:
    x, y = points["workers"], points["images_per_second"]
    axes.plot([0, 1.04 * x.max()], [0, 1.04 * x.max() * y.iloc[0]], **LINE)
    axes.plot(x, y, **MEASURED)
    axes.set_xticks(x, [str(value) for value in x])
    axes.set_xlim(left=0)
    axes.set_ylim(0, 1.5 * y.max())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel("workers, quick-20")
    axes.set_ylabel("images/s of the sweep")
    shares = [f"{100 * rate / (n * y.iloc[0]):.0f} %" for n, rate in zip(x, y, strict=True)]
    axes.set_title(f"of that many times one: {', '.join(shares)}")

"""How fast each recipe trains, as a multiple of the conventional one."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.style import ABOVE, explained, print_style

# Okabe and Ito's palette, as for the families; paler for float32.
COLORS = {
    "one process, fp32": "#A6CEE3",
    "one process, bf16": "#0072B2",
    "sweep, fp32": "#F2B48C",
    "sweep, bf16": "#D55E00",
}


@print_style()
def throughput(measurements: pd.DataFrame, about: str) -> Figure:
    """Draws images per second over those of the conventional recipe, a group per network.

    Args:
        measurements: One row per network and recipe, as in benchmark.json.
        about: The machine, in a line.

    Returns:
        A figure; numbers on the bars are images per second, whiskers the extremes of rounds.
    """
    networks = list(dict.fromkeys(measurements["network"]))
    conventional = measurements["recipe"] == "conventional"
    base = measurements[conventional].set_index("network")["images_per_second"].reindex(networks)
    ours = measurements[~conventional]
    rounds = len(measurements["rounds"].iloc[0])
    recipes = ours["recipe"] + ", " + ours["precision"]
    names = list(dict.fromkeys(recipes))
    figure = Figure(figsize=(2 + 1.15 * len(networks), 3.9), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / max(len(names), 1)
    for place, name in enumerate(names):
        part = ours[recipes == name].set_index("network").reindex(networks)
        at = np.arange(len(networks)) + (place - (len(names) - 1) / 2) * width
        heights = part["images_per_second"] / base
        lowest, highest = (part["rounds"].map(extreme) / base for extreme in (min, max))
        axes.bar(at, heights, 0.92 * width, color=COLORS.get(name, "#999999"), label=name)
        axes.vlines(at, lowest, highest, color="#222222", linewidth=1)
        for x, top, speed in zip(at, highest, part["images_per_second"], strict=True):
            axes.annotate(f"{speed:,.0f}", (x, top), (0, 3), va="bottom", rotation=90, **ABOVE)
    axes.axhline(1, color="#444444", linewidth=1)
    axes.set_xticks(range(len(networks)), [f"{n}\n{base[n]:,.0f}" for n in networks])
    axes.set_ylim(0, 1.18 * axes.get_ylim()[1])
    axes.grid(visible=False, axis="x")
    axes.set_ylabel("speed relative to the conventional recipe")
    axes.set_xlabel("network, and images/s of the conventional recipe")
    return explained(
        figure,
        f"{about}\nBars: median of {rounds} round{'s' if rounds > 1 else ''}, recipes in turn; "
        "whiskers: extremes; numbers: images/s, with data, logging and checkpoints.\n"
        "Line: the conventional recipe (torchvision per image, DataLoader, fp32, eager).",
    )

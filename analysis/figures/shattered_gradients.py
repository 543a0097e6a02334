"""Autocorrelation of input gradients (Balduzzi et al. 2017; not in He et al. 2015)."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import style
from analysis.figures.drawing import Drawing
from analysis.mechanism import at_one_look, profiles
from analysis.networks import networks_in


@style.print_style()
def shattered_gradients(probes: pd.DataFrame, iteration: int | None = None) -> Figure:
    """Draws the autocorrelation against the lag, a line per depth, a panel per family.

    Args:
        probes: As from `load_probes`, or a part of it.
        iteration: When the network was probed; the first time if None.
    """
    table, when = at_one_look(profiles(probes, ["input_gradient_autocorrelation"]), iteration)
    networks = networks_in(table)
    colors = style.depth_colors(table)
    figure, (panels,) = style.panels(len(networks), 2.5, 3.4, margin=1.3)
    for axes, network in zip(panels, networks, strict=False):
        axes.axhline(0, color="#444444", linewidth=0.8)
        style.draw_depths(axes, table[table["family"] == network.family], colors)
        axes.set_title(network.title)
        axes.set_xlabel("lag")
    panels[0].set_ylabel("autocorrelation")
    return style.explained(
        figure,
        f"{style.provenance(probes)} {when}.\nAutocorrelation of the input gradient "
        "along straight lines between images; a lag is 1/63 of the way. White noise has about 0 "
        "from lag 1 on.",
        style.depth_handles(colors, bool(table["started"].all())),
    )


FIGURE = Drawing(
    "shattered_gradients",
    10,
    shattered_gradients,
    "Shattered gradients (Balduzzi et al. 2017; not in He et al. 2015)",
    "Autocorrelation of the input gradient along lines between images; white noise has about 0 "
    "from lag 1 on.",
    probe="input_gradient_autocorrelation",
)

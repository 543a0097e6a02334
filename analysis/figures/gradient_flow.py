"""Gradient norms and forward variance, layer by layer (claim 7)."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import style
from analysis.figures.drawing import Drawing
from analysis.mechanism import at_one_look, profiles
from analysis.networks import networks_in

MEASURES = {
    "activation_gradient_norm": "gradient w.r.t. activations",
    "weight_gradient_norm": "gradient w.r.t. weights",
    "forward_variance": "forward variance",
}


@style.print_style()
def gradient_flow(probes: pd.DataFrame, iteration: int | None = None) -> Figure:
    """Draws each measure against the layer, a line per depth, a column per family.

    Args:
        probes: As from `load_probes`, or a part of it.
        iteration: When the network was probed; the first time if None.

    Returns:
        A figure with logarithmic axes, without values that are zero or not finite.
    """
    table, when = at_one_look(profiles(probes, list(MEASURES)), iteration)
    networks = networks_in(table)
    colors = style.depth_colors(table)
    figure, grid = style.panels(len(networks), 2.5, 6.4, margin=1.3, rows=len(MEASURES))
    for row, (measure, title) in zip(grid, MEASURES.items(), strict=True):
        row[0].set_ylabel(title)
        for axes, network in zip(row, networks, strict=False):
            part = table[(table["family"] == network.family) & (table["measure"] == measure)]
            part = part[part["value"] > 0]
            if part.empty:
                axes.text(0.5, 0.5, "zero", transform=axes.transAxes, ha="center")
            style.draw_depths(axes, part, colors, linewidth=1.3)
            axes.set_yscale("log")
    for axes, network in zip(grid[0], networks, strict=False):
        axes.set_title(network.title.replace(", ", ",\n"))
    for axes in grid[-1]:
        axes.set_xlabel("layer")
    return style.explained(
        figure,
        f"{style.provenance(probes)} {when}.\nL2 norms of the gradient of a batch's mean loss "
        "with respect to each 3×3 layer's kernel and its output after batch norm; variance of that "
        "output, mean over channels. Geometric mean over seeds.",
        style.depth_handles(colors, bool(table["started"].all())),
    )


def gradient_flow_at_the_end(probes: pd.DataFrame) -> Figure:
    """Draws the same at the last iteration at which some network was probed."""
    looks = probes.loc[probes["measure"] == "forward_variance", "iteration"]
    return gradient_flow(probes, int(looks.max()))


FIRST_LOOK = Drawing(
    "gradient_flow",
    8,
    gradient_flow,
    "Gradient flow at the first probe (claim 7)",
    "Norms of the gradient, and the variance of the forward signal, at each layer. A control "
    "without batch norm is named with its learning rate.",
    probe="forward_variance",
)
LAST_LOOK = Drawing(
    "gradient_flow_at_the_end",
    9,
    gradient_flow_at_the_end,
    "Gradient flow at the last probe (claim 7)",
    "The same after training.",
    probe="forward_variance",
)

"""Standard deviation of layer responses, in order and sorted (Figure 7, claim 8)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import style
from analysis.figures.drawing import Drawing
from analysis.mechanism import profiles
from analysis.networks import COLUMNS, add_family, networks_in

ORDERS = ("in order", "sorted by magnitude")
OUTSIDE = " Grey: did not start; such lines may lie outside the axes."
# By shortcut option.
LINES: dict[str | None, Any] = {None: "--", "A": "-", "B": "-.", "C": ":"}


def response_profiles(probes: pd.DataFrame) -> pd.DataFrame:
    """Deviation by layer when all seeds were last probed, in order and sorted, mean over seeds.

    Args:
        probes: As from `load_probes`.

    Returns:
        `kind, shortcut, variant, family, depth, position, value, started` and
        `order`, one of ORDERS.
    """
    probes = add_family(probes[probes["measure"] == "response_deviation"])
    network = [probes["family"], probes["depth"]]
    seeds = probes.groupby([*network, probes["iteration"]])["run_id"].transform("nunique")
    table = profiles(
        probes[seeds == seeds.groupby(network).transform("max")], ["response_deviation"]
    )
    last = table.groupby(["family", "depth"])["iteration"].transform("max")
    table = table[table["iteration"] == last]
    ranks = table.groupby(["family", "depth"])["value"].rank(method="first", ascending=False)
    both = [table.assign(order=ORDERS[0]), table.assign(order=ORDERS[1], position=ranks)]
    columns = [*COLUMNS, "depth", "position", "value", "started", "order"]
    found = pd.concat(both, ignore_index=True)[columns]
    return found.sort_values(["family", "depth", "position"], ignore_index=True)


def spread_widely(values: pd.Series) -> bool:
    """Whether one curve would flatten all the others on a linear axis."""
    return len(values) > 0 and bool(values.max() > 30 * values.median())


@style.print_style()
def layer_responses(probes: pd.DataFrame) -> Figure:
    """Draws the deviation against the layer, plain dashed, residual solid, depth by colour.

    A linear axis fits the networks that started: the responses of one that did not may be
    thousands of times as large.

    Args:
        probes: As from `load_probes`, or a part of it.

    Returns:
        A figure with the layers in order on the left and sorted on the right.
    """
    table = response_profiles(probes)
    networks = networks_in(table)
    colors = style.depth_colors(table)
    all_started = bool(table["started"].all())
    shown = table.loc[table["started"] & np.isfinite(table["value"].astype(float)), "value"]
    figure, (panels,) = style.panels(2, 4.3, 3.9)
    for axes, order in zip(panels, ORDERS, strict=True):
        for network in networks:
            part = table[(table["family"] == network.family) & (table["order"] == order)]
            look = {"linestyle": LINES[network.shortcut], "linewidth": 1.2}
            style.draw_depths(axes, part, colors, **look)
        axes.set_title(f"layers {order}")
        axes.set_xlabel("layer" if order == ORDERS[0] else "rank of the layer")
    panels[0].set_ylabel("standard deviation of responses")
    if spread_widely(shown):
        panels[0].set_yscale("log")
    else:
        panels[0].set_ylim(0, 1.05 * shown.max() if (shown > 0).any() else None)
    kinds = [style.sample(each.title, linestyle=LINES[each.shortcut]) for each in networks]
    return style.explained(
        figure,
        f"{style.provenance(probes)}\nOutput of each 3×3 layer after batch norm and before "
        "the non-linearity and addition, over the training set, in evaluation mode."
        f"{OUTSIDE * (not all_started)}",
        [*style.depth_handles(colors, all_started), *kinds],
    )


FIGURE = Drawing(
    "layer_responses",
    11,
    layer_responses,
    "Layer responses (claim 8; He et al. 2015, Figure 7)",
    "Standard deviation of each layer's output after batch norm and before the "
    "non-linearity, over the training set. Networks that did not start are grey, and may lie "
    "outside the axes.",
    probe="response_deviation",
)

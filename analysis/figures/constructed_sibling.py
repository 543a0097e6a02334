"""The constructed deeper sibling and networks trained from scratch (claim 3)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.drawing import Drawing
from analysis.figures.style import ABOVE, explained, panels, print_style, provenance
from analysis.mechanism import constructed_siblings
from analysis.networks import depths_in, family_title
from analysis.statistics import final_errors

# Column of `constructed_siblings`, what it is called, and its colour.
NETWORKS = {
    "shallow": ("trained, shallow", "#999999"),
    "constructed": ("made deeper by identity layers", "#E69F00"),
    "trained_on": ("the same, trained further", "#56B4E9"),
    "scratch": ("this depth, from scratch", "#CC3311"),
}


def sibling_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Clean training errors, long: `family, depth, seed, network, error`."""
    siblings = constructed_siblings(runs)
    long = siblings.melt(["base", "depth", "seed"], list(NETWORKS), "network", "error").dropna(
        subset=["error"]
    )
    named = long["network"].map({column: name for column, (name, _) in NETWORKS.items()})
    return long.assign(network=named).rename(columns={"base": "family"})


@print_style()
def constructed_sibling(runs: pd.DataFrame) -> Figure:
    """Draws the errors of a network that was made deeper, and of its depth from scratch.

    Bars at each depth: the shallow network, the deepened one before and after further training,
    and a network of this depth from scratch.

    Args:
        runs: As from `load_runs`, or a part of it, with deepened runs.

    Returns:
        A figure with a panel per family; bars are means over seeds, dots single seeds.
    """
    table, finals = sibling_table(runs), final_errors(runs)
    never = finals.loc[~finals["started"], ["family", "depth"]].itertuples(index=False, name=None)
    stuck = {*never} & {*zip(table["family"], table["depth"], strict=True)}
    families = sorted(table["family"].unique())
    figure, (axes_of,) = panels(len(families), 3.4, 3.9, margin=1.2)
    for axes, family in zip(axes_of, families, strict=False):
        of_family = table[table["family"] == family]
        depths = depths_in(of_family)
        for place, (name, color) in enumerate(NETWORKS.values()):
            part = of_family[of_family["network"] == name]
            at = np.arange(len(depths)) + 0.2 * (place - 1.5)
            errors = part.groupby("depth")["error"].agg(["mean", "max"]).reindex(depths)
            means = errors["mean"]
            scratch = name == NETWORKS["scratch"][0]
            hollow = np.array([scratch and (family, depth) in stuck for depth in depths])
            axes.bar(at, means.mask(hollow), width=0.18, color=color, label=name)
            if hollow.any():
                axes.bar(at, means.where(hollow), 0.17, facecolor="none", edgecolor=color)
            for x, (mean, highest) in zip(at, errors.itertuples(index=False), strict=True):
                if np.isfinite(mean):
                    axes.annotate(f"{mean:.1f}", (x, highest), (0, 3), **ABOVE)
            if part["seed"].nunique() > 1:
                x = [at[depths.index(int(depth))] for depth in part["depth"]]
                axes.plot(x, part["error"], ".", color="#222222", markersize=3)
        axes.set_xticks(range(len(depths)), [str(depth) for depth in depths])
        axes.set_xlabel("depth (weighted layers)")
        axes.set_title(family_title(family))
        axes.grid(axis="x", visible=False)
    axes_of[0].set_ylabel("clean training error (%)")
    axes_of[0].set_ylim(bottom=0)
    return explained(
        figure,
        f"{provenance(runs[runs['state'] == 'finished'])}\nEvaluation mode, without "
        "augmentation, at the end of training; the construction before any training."
        f"{' Hollow: did not start.' * bool(stuck)}",
    )


FIGURE = Drawing(
    "constructed_sibling",
    7,
    constructed_sibling,
    "The constructed deeper sibling (claim 3)",
    "A trained shallow network plus identity layers makes a deeper one with the same error, "
    "before any training. Also shown: the same network trained further, and that depth from "
    "scratch.",
    needs=lambda runs: len(constructed_siblings(runs)) > 0,
)

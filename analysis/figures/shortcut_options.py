"""Options A, B and C side by side, as differences with their intervals."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import style
from analysis.figures.drawing import Drawing
from analysis.networks import Network, networks_in, without_variants
from analysis.statistics import family_difference, final_errors

ERRORS = {"train_error": "training error", "test_error": "test error"}


def options_in(finals: pd.DataFrame) -> list[Network]:
    """The networks with shortcuts, without variants, of a frame as from `final_errors`."""
    return [network for network in networks_in(without_variants(finals)) if network.shortcut]


@style.print_style()
def shortcut_options(runs: pd.DataFrame) -> Figure:
    """Draws each further option minus the first, at each depth.

    Args:
        runs: As from `load_runs`, or a part of it; only finished runs count.

    Returns:
        A figure with a panel for training and one for test error; below zero the further
        option is better. Bars are 95 % intervals over seeds, where there are several.
    """
    finals = final_errors(runs)
    options = options_in(finals)
    never = finals[~finals["started"] & finals["family"].isin([o.family for o in options])]
    figure, (panels,) = style.panels(2, 3.6, 3.6)
    for axes, (error, title) in zip(panels, ERRORS.items(), strict=True):
        axes.axhline(0, color="#444444", linewidth=0.8)
        axes.set_title(title)
        style.depth_axis(axes, finals)
        for option in options[1:]:
            pair = option.family, options[0].family
            table = family_difference(finals, *pair, error)
            look = style.style_of(option)
            bars = (table[["low", "high"]].sub(table["difference"], axis=0)).abs().to_numpy().T
            axes.errorbar(
                table["depth"],
                table["difference"],
                yerr=bars,
                capsize=3,
                markersize=5,
                elinewidth=1,
                label=f"{option.title} minus {options[0].title}",
                **look,
            )
            stuck = table[table["depth"].isin(never[never["family"].isin(pair)]["depth"])]
            hollow = look | {"linestyle": "none", "markerfacecolor": "white", "markersize": 5}
            axes.plot(stuck["depth"], stuck["difference"], **hollow)
    panels[0].set_ylabel("difference of final errors (points)")
    finished = runs[runs["state"] == "finished"]
    several = finals["seed"].nunique() > 1
    spread = "Bars: 95 % intervals over seeds, paired." if several else "One seed: no interval."
    note = " Hollow: one of the two did not start." * (len(never) > 0)
    return style.explained(figure, f"{style.provenance(finished)} {spread}{note}")


FIGURE = Drawing(
    "shortcut_options",
    6,
    shortcut_options,
    "Shortcut options side by side",
    "Below zero the option named first is better; bars are 95 % intervals over seeds.",
    needs=lambda runs: len(options_in(final_errors(runs))) > 1,
)

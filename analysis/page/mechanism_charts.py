"""The page's figures of the experiments on why plain networks degrade."""

from __future__ import annotations

from typing import Any

import altair as alt
import matplotlib as mpl
import pandas as pd

from analysis.figures.constructed_sibling import NETWORKS, sibling_table
from analysis.figures.gradient_flow import MEASURES
from analysis.figures.layer_responses import response_profiles, spread_widely
from analysis.figures.style import depth_colors, families_in
from analysis.mechanism import profiles
from analysis.page.charts import HEIGHT, switched
from analysis.statistics import family_title


def gradient_flow(probes: pd.DataFrame) -> alt.TopLevelMixin | None:
    """Gradient norms and forward variance by layer; measure and iteration are chosen."""
    table = profiles(probes, list(MEASURES))
    table["measure"] = table["measure"].map(MEASURES)
    return _profiles(table, "layer", {"measure": "measure", "iteration": "iteration"}, log=True)


def shattered_gradients(probes: pd.DataFrame) -> alt.TopLevelMixin | None:
    """Autocorrelation of the input gradient by lag; the iteration is chosen."""
    table = profiles(probes, ["input_gradient_autocorrelation"])
    return _profiles(table, "lag", {"iteration": "iteration"}, log=False)


def layer_responses(probes: pd.DataFrame) -> alt.TopLevelMixin | None:
    """Standard deviation of responses by layer, in order or sorted."""
    table = response_profiles(probes)
    return _profiles(table, "layer", {"order": "layers"}, log=spread_widely(table["value"]))


def constructed_sibling(runs: pd.DataFrame) -> alt.TopLevelMixin | None:
    """Clean training errors of constructed networks beside those trained from scratch."""
    table = sibling_table(runs)
    if table.empty:
        return None
    kinds = list(table["network"].unique())
    colors = dict(NETWORKS.values())
    table = table.assign(series=table["family"].map(family_title), value=table["error"].round(3))
    base = alt.Chart().encode(
        x=alt.X("depth:O", title="depth (weighted layers)", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("mean(value):Q", title="clean training error (%)"),
        color=alt.Color(
            "network:N",
            sort=kinds,
            scale=alt.Scale(domain=kinds, range=[colors[kind] for kind in kinds]),
            legend=alt.Legend(title=None, labelLimit=400),
        ),
        xOffset=alt.XOffset("network:N", sort=kinds),
    )
    tooltip = [alt.Tooltip("network:N"), alt.Tooltip("depth:O"), alt.Tooltip("mean(value):Q")]
    chart = alt.layer(base.mark_bar().encode(tooltip=tooltip), data=table)
    return chart.properties(height=HEIGHT).facet(facet=alt.Facet("series:N", title=None), columns=2)


def _profiles(
    table: pd.DataFrame, x: str, chosen: dict[str, str], log: bool
) -> alt.TopLevelMixin | None:
    """Lines of `value` over `position`, a panel per family, a line per depth.

    Args:
        table: `family, depth, position, value`, and the columns to choose by.
        x: Title of the x axis.
        chosen: Columns of which one value is shown, and their labels.
        log: Whether values span orders of magnitude.
    """
    if log:
        table = table[table["value"] > 0]
    if table.empty:
        return None
    families = families_in(table)
    depths = sorted(int(depth) for depth in table["depth"].unique())
    colors = [mpl.colors.to_hex(color) for color in depth_colors(depths).values()]
    names = [f"{depth} layers" for depth in depths]
    table = table.assign(
        series=table["family"].map(family_title),
        layers=table["depth"].astype(str) + " layers",
        value=table["value"].map(lambda value: float(f"{value:.4g}")),
    )
    keep = ["series", "family", "depth", "layers", "position", "value", *chosen]
    base = alt.Chart().encode(
        x=alt.X("position:Q", title=x),
        y=alt.Y(
            "value:Q",
            title=None,
            scale=alt.Scale(type="log" if log else "linear"),
            axis=alt.Axis(format="~e" if log else "~g", tickCount=6),
        ),
        color=alt.Color(
            "layers:N",
            scale=alt.Scale(domain=names, range=colors),
            legend=alt.Legend(title=None, symbolType="stroke", symbolOpacity=1),
        ),
    )
    hovered = alt.selection_point(
        name="hovered",
        fields=["layers", "position", "series"],
        on="pointerover",
        clear="pointerout",
        empty=False,
    )
    tooltip = [
        alt.Tooltip("series:N", title="network"),
        alt.Tooltip("layers:N", title="depth"),
        alt.Tooltip("position:Q", title=x),
        alt.Tooltip("value:Q", format=".3~g"),
    ]
    points = (
        base.mark_point(filled=True, size=90, aria=False)
        .encode(opacity=alt.condition(hovered, alt.value(1), alt.value(0)), tooltip=tooltip)
        .add_params(hovered)
    )
    chart: Any = alt.layer(base.mark_line(strokeWidth=1.6), points, data=table[keep]).properties(
        height=HEIGHT
    )
    chart = chart.facet(
        facet=alt.Facet("series:N", title=None, sort=[family_title(f) for f in families]),
        columns=min(len(families), 4),
    )
    for column, label in chosen.items():
        values = list(table[column].unique())
        if len(values) > 1:
            radio = alt.binding_radio(options=values, name=f"{label}: ")
            chart = chart.add_params(
                alt.param(name=f"chosen_{column}", value=values[0], bind=radio)
            )
            chart = chart.transform_filter(f"datum.{column} == chosen_{column}")
    return switched(chart, families, depths)

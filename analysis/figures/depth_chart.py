"""The page's interactive figures, as Vega-Lite charts.

Hovering names a run and its values; check boxes switch families and depths. Colours and
statistics are those of the printed figures.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from analysis.figures.style import style_of
from analysis.networks import Network, depths_in, family_title, networks_in
from analysis.statistics import by_cell, final_errors

# With more runs, single runs are left out and means alone are drawn.
MOST_RUNS = 75
HEIGHT = 280
ERRORS = {
    "train_error": "training",
    "clean_train_error": "training, clean",
    "test_error": "test",
    "gap": "test minus clean training",
}
MARKERS = {
    "o": "circle",
    "s": "square",
    "^": "triangle-up",
    "v": "triangle-down",
    "D": "diamond",
    "P": "cross",
    "X": "cross",
}


def error_by_depth(runs: pd.DataFrame) -> alt.TopLevelMixin | None:
    """Final error against depth, the error chosen by radio buttons.

    Returns:
        The chart, with means over seeds, their intervals, and each run as a tick; None where
        no run has finished.
    """
    finals = final_errors(runs)
    if finals.empty:
        return None
    data = _means_and_runs(finals)
    networks = networks_in(finals)
    names = [network.title for network in networks]
    styles = [style_of(network) for network in networks]
    legend = alt.Legend(title=None, symbolOpacity=1)
    colors = alt.Scale(domain=names, range=[style["color"] for style in styles])
    markers = alt.Scale(domain=names, range=[MARKERS[style["marker"]] for style in styles])
    base = alt.Chart().encode(
        x=_depth_axis(depths_in(finals)),
        y=alt.Y("value:Q", title="final error (%)"),
        color=alt.Color("series:N", scale=colors, legend=legend),
    )
    mean = base.transform_filter("datum.kind == 'mean'")
    zero = alt.Chart(pd.DataFrame({"zero": [0]})).mark_rule(color="#888888").encode(y="zero:Q")
    bars = mean.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=1.2)
    several = bool(data["low"].notna().any())
    value = alt.Tooltip("value:Q", format=",.2f")
    tooltip = [
        alt.Tooltip("series:N", title="network"),
        alt.Tooltip("depth:Q"),
        value,
        alt.Tooltip("low:Q", title="95 % interval from", format=",.2f"),
        alt.Tooltip("high:Q", title="to", format=",.2f"),
        alt.Tooltip("n:Q", title="seeds"),
    ]
    layers = [
        zero,
        *[bars.encode(y="bar_low:Q", y2="bar_high:Q", tooltip=alt.value(None))] * several,
        mean.mark_line(strokeWidth=1.8),
        base.transform_filter("datum.kind == 'run'")
        .mark_tick(orient="horizontal", thickness=2.5, size=14, opacity=0.55)
        .encode(tooltip=[alt.Tooltip("run_id:N", title="run"), value]),
        mean.mark_point(size=60, opacity=1, strokeWidth=2).encode(
            shape=alt.Shape("series:N", scale=markers, legend=legend),
            fill=alt.condition(
                "datum.started", alt.Fill("series:N", scale=colors), alt.value("white")
            ),
            tooltip=tooltip,
        ),
    ]
    panels = list(ERRORS.values())
    radio = alt.binding_radio(options=panels, name="error: ")
    chart = (
        alt.layer(*layers, data=data)
        .properties(height=HEIGHT, width="container")
        .add_params(alt.param(name="measure", value=panels[0], bind=radio))
        .transform_filter("datum.panel == measure")
    )
    return switched(chart, networks, [])


def _depth_axis(depths: list[int]) -> alt.X:
    kind: Any = "log" if depths[-1] > 12 * depths[0] else "linear"
    scale = alt.Scale(type=kind, zero=False, padding=14)
    axis = alt.Axis(values=depths, grid=False)
    return alt.X("depth:Q", title="depth (weighted layers)", scale=scale, axis=axis)


def _means_and_runs(finals: pd.DataFrame) -> pd.DataFrame:
    """What the chart draws, long: `kind`, "mean" or "run", and for each error a `panel`."""
    started = finals.groupby(["family", "depth"])["started"].all().reset_index()
    parts = []
    for error, title in ERRORS.items():
        means = by_cell(finals, error).merge(started).rename(columns={"mean": "value"})
        # An error lies between 0 and 100 %, whatever an interval of few seeds says.
        low, high = (None, None) if error == "gap" else (0, 100)
        bars = means[["low", "high"]].clip(low, high).add_prefix("bar_")
        parts.append(means.join(bars).assign(panel=title, kind="mean"))
        if finals["run_id"].nunique() <= MOST_RUNS:
            runs = finals[["family", "depth", "seed", "run_id"]]
            parts.append(runs.assign(panel=title, kind="run", value=finals[error]))
    data = pd.concat(parts, ignore_index=True)
    return data.round(3).assign(series=data["family"].map(family_title))


def switched(
    chart: alt.TopLevelMixin, networks: Sequence[Network], depths: Sequence[int]
) -> alt.TopLevelMixin:
    """Adds check boxes that switch families and depths on and off."""
    titles: dict[str, dict[Any, str]] = {
        "family": {network.family: network.title for network in networks},
        "depth": {depth: f"{depth} layers" for depth in depths},
    }
    params, tests = [], []
    for field, title_of in titles.items():
        parts = []
        for value, title in title_of.items() if len(title_of) > 1 else ():
            name = "show_" + re.sub(r"\W", "_", str(value))
            params.append(alt.param(name=name, value=True, bind=alt.binding_checkbox(name=title)))
            # As Vega reads it, a text is quoted as in Python.
            parts.append(f"(datum.{field} == {value!r} && {name})")
        if parts:
            tests.append("(" + " || ".join(parts) + ")")
    if params:
        chart = chart.add_params(*params)  # type: ignore[attr-defined]
        chart = chart.transform_filter(" && ".join(tests))
    return chart

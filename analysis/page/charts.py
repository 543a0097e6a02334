"""The page's interactive figures, as Vega-Lite charts.

Hovering names a run and its values; check boxes switch families and depths. Colours and
statistics are those of the printed figures.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import altair as alt
import pandas as pd

from analysis.figures.optimisation_speed import levels_worth_a_panel
from analysis.figures.style import families_in, style_of
from analysis.statistics import (
    base_families,
    by_cell,
    ended,
    family_difference,
    family_title,
    final_errors,
    iterations_to_reach,
)

# With more runs, single runs are left out and means alone are drawn.
MOST_RUNS = 75
HEIGHT = 280
ERRORS = {
    "train_error": "training",
    "clean_train_error": "training, clean",
    "test_error": "test",
    "gap": "test minus clean training",
}
MEASURES = {"train_error": "training", "test_error": "test"}
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
    """Final error against depth, the error chosen by radio buttons."""
    finals = final_errors(runs)
    cells, each = [], []
    for error, title in ERRORS.items():
        found = by_cell(finals, error).merge(_hollow(finals))
        cells.append(found.assign(panel=title, is_error=error != "gap"))
        each.append(finals.assign(panel=title, value=finals[error]))
    means = pd.concat(cells).rename(columns={"mean": "value"})
    points = pd.concat(each)[["panel", "family", "depth", "seed", "run_id", "value"]]
    for frame in (means, points):
        frame["series"] = frame["family"].map(family_title)
    return _by_depth(means, points, "final error (%)", choose=True)


def optimisation_speed(runs: pd.DataFrame) -> alt.TopLevelMixin | None:
    """Iterations until given training errors are reached, a panel per error."""
    runs = ended(runs)
    levels = levels_worth_a_panel(runs)
    points = iterations_to_reach(runs, levels).rename(columns={"iterations": "value"})
    points["panel"] = points["level"].map(lambda level: f"down to {level:g} %")
    points["series"] = points["family"].map(family_title)
    # A mean over the runs that got there would flatter where some did not.
    groups = points.groupby(["panel", "family", "series", "depth"])["value"]
    means = groups.agg(lambda values: values.mean(skipna=False)).reset_index()
    order = {f"down to {level:g} %": place for place, level in enumerate(levels)}
    means = means.sort_values("panel", key=lambda panel: panel.map(order), kind="stable")
    return _by_depth(means.dropna(subset=["value"]), points.dropna(), "iterations to reach it")


def shortcut_options(runs: pd.DataFrame) -> alt.TopLevelMixin | None:
    """Each further option minus the first, with 95 % intervals over seeds."""
    finals = final_errors(runs)
    options = [f for f in families_in(base_families(finals)) if f != "plain"]
    tables = [
        family_difference(finals, option, options[0], error).assign(
            panel=f"{title} error",
            is_error=False,
            family=option,
            series=f"{family_title(option)} minus {family_title(options[0])}",
        )
        for option in options[1:]
        for error, title in MEASURES.items()
    ]
    columns = ["panel", "family", "series", "depth", "difference", "low", "high", "n", "is_error"]
    table = pd.concat(tables)[columns] if tables else pd.DataFrame(columns=columns)
    means = table.rename(columns={"difference": "value"})
    return _by_depth(means, None, "difference of final errors (points)")


def side_by_side(runs: pd.DataFrame) -> alt.TopLevelMixin | None:
    """Final training error against depth, a panel per study.

    Args:
        runs: As from `load_runs`, with a column `study`.
    """
    parts = [(study, final_errors(part)) for study, part in runs.groupby("study", sort=False)]
    means = pd.concat(
        [
            by_cell(finals).merge(_hollow(finals)).assign(panel=study, is_error=True)
            for study, finals in parts
        ]
    )
    points = pd.concat([finals.assign(panel=study) for study, finals in parts])
    means = means.rename(columns={"mean": "value"})
    points = points.rename(columns={"train_error": "value"})
    columns = ["panel", "family", "depth", "seed", "run_id", "value"]
    means["series"] = means["family"].map(family_title)
    points = points[columns].assign(series=points["family"].map(family_title))
    return _by_depth(means, points, "final training error (%)")


def _hollow(finals: pd.DataFrame) -> pd.DataFrame:
    """`family, depth, hollow`: whether a network is drawn hollow, as it did not start."""
    cells = finals.groupby(["family", "depth"])["started"].all().reset_index()
    return cells.assign(hollow=~cells["started"]).drop(columns="started")


def _by_depth(
    means: pd.DataFrame, points: pd.DataFrame | None, y_title: str, choose: bool = False
) -> alt.TopLevelMixin | None:
    """Lines of `value` over `depth` per `series`, with intervals and each run as a tick.

    Args:
        means: `panel, family, series, depth, value`, and where there are `low, high, n` and
            `hollow`, whether the network did not start.
        points: `panel, family, series, depth, seed, run_id, value`, one row per run.
        y_title: Title of the y axis.
        choose: Whether panels are chosen by radio buttons rather than drawn side by side.

    Returns:
        The chart; None where there is nothing to draw.
    """
    if means.empty:
        return None
    if points is not None and points["run_id"].nunique() > MOST_RUNS:
        points = None
    panels = list(dict.fromkeys(means["panel"]))
    families = families_in(means)
    depths = sorted(int(depth) for depth in means["depth"].unique())
    pairs = means.drop_duplicates("series").set_index("series")["family"]
    names = sorted(pairs.index, key=lambda series: families.index(pairs[series]))
    styles = [style_of(pairs[name]) for name in names]
    color = alt.Color(
        "series:N",
        scale=alt.Scale(domain=names, range=[style["color"] for style in styles]),
        legend=alt.Legend(title=None, symbolOpacity=1),
    )
    shape = alt.Shape(
        "series:N",
        scale=alt.Scale(
            domain=names,
            range=[MARKERS[s["marker"]] for s in styles],
        ),
        legend=alt.Legend(title=None, symbolOpacity=1),
    )
    means = means.assign(kind="mean")
    several = "low" in means and means["low"].notna().any()
    if several:
        # An error lies between 0 and 100 %, whatever an interval of few seeds says.
        means["bar_low"] = means["low"].clip(lower=0).where(means["is_error"], means["low"])
        means["bar_high"] = means["high"].clip(upper=100).where(means["is_error"], means["high"])
    data = pd.concat([means, points.assign(kind="run")]) if points is not None else means
    data = data.round(3)
    base = alt.Chart().encode(
        x=alt.X(
            "depth:Q",
            title="depth (weighted layers)",
            scale=alt.Scale(
                type="log" if depths[-1] > 12 * depths[0] else "linear", zero=False, padding=14
            ),
            axis=alt.Axis(values=depths, grid=False),
        ),
        y=alt.Y("value:Q", title=y_title),
        color=color,
    )
    mean = base.transform_filter("datum.kind == 'mean'")
    zero = alt.Chart(pd.DataFrame({"zero": [0]})).mark_rule(color="#888888").encode(y="zero:Q")
    layers = [zero] if y_title != "iterations to reach it" else []
    tooltip = [alt.Tooltip("series:N", title="network"), alt.Tooltip("depth:Q")]
    value = alt.Tooltip("value:Q", format=",.2f")
    if several:
        layers.append(
            mean.transform_filter("isValid(datum.low)")
            .mark_rule(strokeWidth=1.2)
            .encode(y="bar_low:Q", y2="bar_high:Q", tooltip=alt.value(None))
        )
        tooltip += [
            alt.Tooltip("low:Q", title="95 % interval from", format=",.2f"),
            alt.Tooltip("high:Q", title="to", format=",.2f"),
            alt.Tooltip("n:Q", title="seeds"),
        ]
    layers.append(mean.mark_line(strokeWidth=1.8))
    if points is not None:
        layers.append(
            base.transform_filter("datum.kind == 'run'")
            .mark_tick(orient="horizontal", thickness=2.5, size=14, opacity=0.55)
            .encode(tooltip=[alt.Tooltip("run_id:N", title="run"), value])
        )
    for filled, which in ((True, "!datum.hollow"), (False, "datum.hollow === true")):
        if filled or ("hollow" in means and means["hollow"].any()):
            fill = {} if filled else {"fill": "white"}
            layers.append(
                mean.transform_filter(which)
                .mark_point(filled=filled, size=70, opacity=1, **fill)
                .encode(shape=shape, tooltip=[*tooltip[:2], value, *tooltip[2:]])
            )
    chart: alt.TopLevelMixin
    if choose:
        radio = alt.binding_radio(options=panels, name="error: ")
        shown = alt.param(name="measure", value=panels[0], bind=radio)
        chart = (
            alt.layer(*layers, data=data)
            .properties(height=HEIGHT, width="container")
            .add_params(shown)
            .transform_filter("datum.panel == measure")
        )
    else:
        chart = (
            alt.layer(*layers, data=data)
            .properties(height=HEIGHT)
            .facet(facet=alt.Facet("panel:N", title=None, sort=panels), columns=len(panels))
        )
    return switched(chart, families, [])


def switched(
    chart: alt.TopLevelMixin, families: Sequence[str], depths: Sequence[int]
) -> alt.TopLevelMixin:
    """Adds check boxes that switch families and depths on and off."""
    params, tests = [], []
    for field, values in (("family", families), ("depth", depths)):
        parts = []
        for value in values if len(values) > 1 else ():
            name = "show_" + re.sub(r"\W", "_", str(value))
            label = family_title(value) if isinstance(value, str) else f"{value} layers"
            params.append(alt.param(name=name, value=True, bind=alt.binding_checkbox(name=label)))
            literal = f"'{value}'" if isinstance(value, str) else value
            parts.append(f"(datum.{field} == {literal} && {name})")
        if parts:
            tests.append("(" + " || ".join(parts) + ")")
    if params:
        chart = chart.add_params(*params)  # type: ignore[attr-defined]
        chart = chart.transform_filter(" && ".join(tests))
    return chart

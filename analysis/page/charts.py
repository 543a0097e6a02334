"""The page's interactive figures, as Vega-Lite charts.

Hovering names a run and its values; check boxes switch families and depths. Colours and
statistics are those of the printed figures.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import altair as alt
import matplotlib as mpl
import pandas as pd

from analysis.figures.optimisation_speed import levels_worth_a_panel
from analysis.figures.style import FAMILIES, depth_colors, families_in
from analysis.statistics import (
    add_family,
    by_cell,
    family_difference,
    family_title,
    final_errors,
    iterations_to_reach,
)

# A chart draws an element per point, which a browser does well up to about this many.
MOST_POINTS = 6_000
# With more runs, curves are means over seeds, and single runs beside means are left out.
MOST_RUNS = 75
HEIGHT = 280
ERRORS = {
    "train_error": "training",
    "clean_train_error": "training, clean",
    "test_error": "test",
    "gap": "test minus clean training",
}
MEASURES = {"train_error": "training", "test_error": "test"}


def error_by_depth(runs: pd.DataFrame) -> alt.TopLevelMixin | None:
    """Final error against depth, the error chosen by radio buttons."""
    finals = final_errors(runs)
    cells, each = [], []
    for error, title in ERRORS.items():
        cells.append(by_cell(finals, error).assign(panel=title))
        each.append(finals.assign(panel=title, value=finals[error]))
    means = pd.concat(cells).rename(columns={"mean": "value"})
    points = pd.concat(each)[["panel", "family", "depth", "seed", "run_id", "value"]]
    for frame in (means, points):
        frame["series"] = frame["family"].map(family_title)
    return _by_depth(means, points, "final error (%)", choose=True)


def optimisation_speed(runs: pd.DataFrame) -> alt.TopLevelMixin | None:
    """Iterations until given training errors are reached, a panel per error."""
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
    options = [family for family in families_in(finals) if family != "plain"]
    tables = [
        family_difference(finals, option, options[0], error).assign(
            panel=f"{title} error",
            family=option,
            series=f"{family_title(option)} minus {family_title(options[0])}",
        )
        for option in options[1:]
        for error, title in MEASURES.items()
    ]
    columns = ["panel", "family", "series", "depth", "difference", "low", "high", "n"]
    table = pd.concat(tables)[columns] if tables else pd.DataFrame(columns=columns)
    means = table.rename(columns={"difference": "value"})
    return _by_depth(means, None, "difference of final errors (points)")


def side_by_side(runs: pd.DataFrame) -> alt.TopLevelMixin | None:
    """Final training error against depth, a panel per study.

    Args:
        runs: As from `load_runs`, with a column `study`.
    """
    parts = [(study, final_errors(part)) for study, part in runs.groupby("study", sort=False)]
    means = pd.concat([by_cell(finals).assign(panel=study) for study, finals in parts])
    points = pd.concat([finals.assign(panel=study) for study, finals in parts])
    means = means.rename(columns={"mean": "value"})
    points = points.rename(columns={"train_error": "value"})
    columns = ["panel", "family", "depth", "seed", "run_id", "value"]
    means["series"] = means["family"].map(family_title)
    points = points[columns].assign(series=points["family"].map(family_title))
    return _by_depth(means, points, "final training error (%)")


def learning_curves(runs: pd.DataFrame) -> alt.TopLevelMixin:
    """Training (dashed) and test error (solid) against iterations, a panel per family."""
    runs = add_family(runs)
    families = families_in(runs)
    depths = sorted(int(depth) for depth in runs["depth"].unique())
    curves = _curves(runs)
    hovered = alt.selection_point(
        name="hovered",
        fields=["run", "error", "iteration"],
        on="pointerover",
        clear="pointerout",
        empty=False,
    )
    base = alt.Chart().encode(
        x=alt.X("iteration:Q", title="iteration", axis=alt.Axis(tickCount=5, format=",d")),
        y=alt.Y("value:Q", title="error (%)"),
        color=alt.Color(
            "layers:N",
            sort=[f"{depth} layers" for depth in depths],
            scale=alt.Scale(
                domain=[f"{depth} layers" for depth in depths],
                range=[mpl.colors.to_hex(color) for color in depth_colors(depths).values()],
            ),
            legend=alt.Legend(title=None, symbolType="stroke", symbolOpacity=1),
        ),
        strokeDash=alt.StrokeDash(
            "error:N",
            scale=alt.Scale(domain=list(MEASURES.values()), range=[[4, 3], [1, 0]]),
            legend=alt.Legend(
                title=None, symbolType="stroke", symbolOpacity=1, symbolStrokeColor="#444444"
            ),
        ),
    )
    tooltip = [
        alt.Tooltip("run:N"),
        alt.Tooltip("layers:N", title="depth"),
        alt.Tooltip("error:N"),
        alt.Tooltip("iteration:Q", format=",d"),
        alt.Tooltip("value:Q", title="error (%)", format=".2f"),
    ]
    several = curves.groupby(["family", "depth"])["run"].nunique().max() > 1
    lines = base.mark_line(strokeWidth=1 if several else 1.6, opacity=0.4 if several else 1)
    layers = [lines.encode(detail="run:N", tooltip=tooltip[:3])]
    if several:
        layers.append(base.mark_line(strokeWidth=2).encode(y=alt.Y("mean(value):Q")))
    layers.append(
        # Unseen until hovered. Not the selection of the nearest point: with it, Vega-Lite
        # 6.4 looks for a tooltip's words in the wrong place and finds "undefined".
        base.mark_point(filled=True, size=130)
        .encode(opacity=alt.condition(hovered, alt.value(1), alt.value(0)), tooltip=tooltip)
        .add_params(hovered)
    )
    chart = alt.layer(*layers, data=curves).properties(height=HEIGHT)
    titles = [family_title(family) for family in families]
    return _switched(
        chart.facet(
            facet=alt.Facet("series:N", title=None, sort=titles), columns=max(len(families), 1)
        ),
        families,
        depths,
    )


def _curves(runs: pd.DataFrame) -> pd.DataFrame:
    """The curves to draw, long and thinned to what a browser draws with ease."""
    identity = ["family", "depth", "run_id", "iteration"]
    if runs["run_id"].nunique() > MOST_RUNS:
        seeds = runs.groupby(["family", "depth"])["seed"].transform("nunique").astype(str)
        name = runs["family"] + " " + runs["depth"].astype(str) + ", mean of " + seeds + " seeds"
        runs = runs.assign(run_id=name)
        runs = runs.groupby(identity, sort=False)[list(MEASURES)].mean().reset_index()
    long = runs.melt(identity, list(MEASURES), "error", "value").dropna(subset=["value"])
    curves = long.groupby(["run_id", "error"], sort=False)
    # Each curve keeps its last row, which its final value rests on.
    from_end = curves.cumcount(ascending=False)
    step = -(-len(long) // MOST_POINTS)
    thin = long[from_end % max(step, 1) == 0]
    return thin.assign(
        run=thin["run_id"],
        series=thin["family"].map(family_title),
        layers=thin["depth"].astype(str) + " layers",
        error=thin["error"].map(MEASURES),
        value=thin["value"].round(3),
    ).drop(columns="run_id")


def _by_depth(
    means: pd.DataFrame, points: pd.DataFrame | None, y_title: str, choose: bool = False
) -> alt.TopLevelMixin | None:
    """Lines of `value` over `depth` per `series`, with intervals and each run as a tick.

    Args:
        means: `panel, family, series, depth, value`, and `low, high, n` where there are.
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
    styles = [FAMILIES[pairs[name]] for name in names]
    color = alt.Color(
        "series:N",
        scale=alt.Scale(domain=names, range=[style["color"] for style in styles]),
        legend=alt.Legend(title=None, symbolOpacity=1),
    )
    shape = alt.Shape(
        "series:N",
        scale=alt.Scale(
            domain=names,
            range=[
                {"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond"}[s["marker"]]
                for s in styles
            ],
        ),
        legend=alt.Legend(title=None, symbolOpacity=1),
    )
    means = _with_bars(means).assign(kind="mean")
    data = pd.concat([means, points.assign(kind="run")]) if points is not None else means
    data = data.round(3)
    base = alt.Chart().encode(
        x=alt.X(
            "depth:Q",
            title="depth (weighted layers)",
            scale=alt.Scale(zero=False, padding=14),
            axis=alt.Axis(values=depths, grid=False),
        ),
        y=alt.Y("value:Q", title=y_title),
        color=color,
    )
    mean = base.transform_filter("datum.kind == 'mean'")
    layers = []
    tooltip = [alt.Tooltip("series:N", title="network"), alt.Tooltip("depth:Q")]
    value = alt.Tooltip("value:Q", format=",.2f")
    if "low" in means:
        layers.append(
            mean.mark_rule(strokeWidth=1.2).encode(
                y="bar_low:Q", y2="bar_high:Q", tooltip=alt.value(None)
            )
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
    layers.append(
        mean.mark_point(filled=True, size=70, opacity=1).encode(
            shape=shape, tooltip=[*tooltip[:2], value, *tooltip[2:]]
        )
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
    return _switched(chart, families, [])


def _with_bars(means: pd.DataFrame) -> pd.DataFrame:
    """Adds the bars to draw: the intervals, cut where one of few seeds would dwarf the rest."""
    if "low" not in means:
        return means
    values = means.groupby("panel")["value"]
    lowest, highest = values.transform("min"), values.transform("max")
    margin = (0.6 * (highest - lowest)).clip(lower=1)
    # An error lies between 0 and 100 %; a difference may be below zero.
    floor = (lowest - margin).where(lowest < 0, (lowest - margin).clip(lower=0))
    return means.assign(
        bar_low=means["low"].clip(lower=floor),
        bar_high=means["high"].clip(upper=(highest + margin).clip(upper=100)),
    )


def _switched(
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

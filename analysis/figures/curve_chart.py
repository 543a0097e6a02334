"""The learning curves of the page, as a Vega-Lite chart."""

from __future__ import annotations

import altair as alt
import matplotlib as mpl
import numpy as np
import pandas as pd

from analysis.curves import drawn_runs, error_window, milestones
from analysis.figures.depth_chart import HEIGHT, MEASURES, MOST_RUNS, switched
from analysis.figures.style import NOT_STARTED, depth_colors
from analysis.networks import add_family, family_title, networks_in
from analysis.paper import figure6_curves, of_the_papers_protocol
from analysis.statistics import at_chance, together

# A chart draws an element per point, which a browser does well up to about this many.
MOST_POINTS = 6_000


def learning_curves(runs: pd.DataFrame) -> alt.TopLevelMixin:
    """Training (dashed) and test error (solid) against iterations, a panel per family."""
    runs = drawn_runs(runs)
    networks = networks_in(runs)
    depths = sorted(int(depth) for depth in runs["depth"].unique())
    curves = _curves(runs)
    hovered = alt.selection_point(
        name="hovered",
        fields=["run", "error", "iteration"],
        on="pointerover",
        clear="pointerout",
        empty=False,
    )
    names = [f"{depth} layers" for depth in depths]
    colors = [mpl.colors.to_hex(color) for color in depth_colors(depths).values()]
    if at_chance(runs):
        names.append("did not start")
        colors.append(NOT_STARTED)
    shown = alt.Legend(title=None, symbolType="stroke", symbolOpacity=1)
    base = alt.Chart().encode(
        x=alt.X("iteration:Q", title="iteration", axis=alt.Axis(tickCount=4, format=",d")),
        y=alt.Y(
            "value:Q",
            title="error (%)",
            scale=alt.Scale(domain=list(error_window(runs)), clamp=False),
        ),
        color=alt.Color(
            "shade:N", sort=names, scale=alt.Scale(domain=names, range=colors), legend=shown
        ),
    )
    dashed = base.encode(
        strokeDash=alt.StrokeDash(
            "error:N",
            scale=alt.Scale(domain=list(MEASURES.values()), range=[[4, 3], [1, 0]]),
            legend=alt.Legend(
                title=None, symbolType="stroke", symbolOpacity=1, symbolStrokeColor="#444444"
            ),
        )
    )
    tooltip = [
        alt.Tooltip("run:N"),
        alt.Tooltip("layers:N", title="depth"),
        alt.Tooltip("error:N"),
        alt.Tooltip("iteration:Q", format=",d"),
        alt.Tooltip("value:Q", title="error (%)", format=".2f"),
    ]
    marks = pd.DataFrame({"milestone": milestones(runs)})
    lowered = alt.Chart(marks).mark_rule(strokeDash=[2, 3], color="#888888")
    layers = [lowered.encode(x="milestone:Q")]
    kinds = set(curves["kind"])
    if "paper" in kinds:
        layers.append(
            dashed.transform_filter("datum.kind == 'paper'")
            .mark_line(strokeWidth=4, opacity=0.3, clip=True)
            .encode(detail="run:N", tooltip=tooltip[:3])
        )
    if "band" in kinds:
        layers.append(
            base.transform_filter("datum.kind == 'band'")
            .mark_area(opacity=0.13, clip=True, aria=False)
            .encode(y="low:Q", y2="high:Q", detail="error:N")
        )
        layers.append(
            dashed.transform_filter("datum.kind == 'band'").mark_line(strokeWidth=2, clip=True)
        )
    faint = "band" in kinds
    layers.append(
        dashed.transform_filter("datum.kind == 'run'")
        .mark_line(strokeWidth=1 if faint else 1.6, opacity=0.4 if faint else 1, clip=True)
        .encode(detail="run:N", tooltip=tooltip[:3])
    )
    layers.append(
        # Unseen until hovered. Not the selection of the nearest point: with it, Vega-Lite
        # 6.4 looks for a tooltip's words in the wrong place and finds "undefined".
        base.transform_filter("datum.kind == 'run' || datum.alone")
        .mark_point(filled=True, size=130, clip=True, aria=False)
        .encode(opacity=alt.condition(hovered, alt.value(1), alt.value(0)), tooltip=tooltip)
        .add_params(hovered)
    )
    chart = alt.layer(*layers, data=curves).properties(height=HEIGHT)
    titles = [network.title for network in networks]
    return switched(
        chart.facet(
            facet=alt.Facet("series:N", title=None, sort=titles), columns=min(len(networks), 4)
        ),
        networks,
        depths,
    )


def _curves(runs: pd.DataFrame) -> pd.DataFrame:
    """What the curves' chart draws, long, thinned to what a browser draws with ease.

    Returns:
        `kind`: "run", a run's own curve; "band", a network's mean over several seeds with
        `low` and `high` one standard deviation away; "paper", from Figure 6. Then `family,
        series, depth, layers, shade` (layers, or "did not start"), `error, iteration, value,
        run`, and `alone`, whether a mean stands without the runs that it is made of.
    """
    many = runs["run_id"].nunique() > MOST_RUNS
    keys = ["family", "depth", "error", "iteration"]
    long = runs.melt(
        ["family", "depth", "run_id", "iteration"], list(MEASURES), "error", "value"
    ).dropna(subset=["value"])
    # Iterations shared by all, counted from the end, so that each curve keeps its last row.
    drawn = long["run_id"].nunique() if not many else long.groupby(["family", "depth"]).ngroups
    points = long.groupby("error")["iteration"].transform("nunique") * 2 * drawn
    place = long.groupby("error")["iteration"].rank(method="dense", ascending=False) - 1
    long = long[place % (points // MOST_POINTS + 1) == 0]
    means = (
        together(long)
        .groupby(keys, sort=False)["value"]
        .agg(["mean", "std", "count"])
        .reset_index()
    )
    means = means[means["count"] > 1]
    means = means.assign(
        kind="band",
        value=means["mean"],
        low=means["mean"] - means["std"],
        high=means["mean"] + means["std"],
        run="mean of " + means["count"].astype(str) + " seeds",
        alone=many,
    )
    parts = [means] if many else [long.rename(columns={"run_id": "run"}).assign(kind="run"), means]
    if of_the_papers_protocol(runs):
        published = add_family(figure6_curves())
        published = published[published["depth"].isin(runs["depth"])]
        published = published.melt(
            ["family", "depth", "run_id", "iteration"], list(MEASURES), "error", "value"
        ).dropna(subset=["value"])
        published = published[published["family"].isin(runs["family"])]
        # As dense as a pixel; the file has all.
        thin = published.iloc[:: max(1, len(published) // MOST_POINTS)]
        parts.append(
            thin.assign(kind="paper", run="He et al. 2015, Figure 6").drop(columns="run_id")
        )
    drawn_parts = pd.concat([part for part in parts if len(part)], ignore_index=True)
    columns = ["kind", *keys, "value", "run", "low", "high", "alone"]
    curves = drawn_parts.reindex(columns=columns)
    layers, stuck = curves["depth"].astype(str) + " layers", at_chance(runs)
    networks = zip(curves["family"], curves["depth"], curves["kind"] == "paper", strict=True)
    grey = np.array([network[:2] in stuck and not network[2] for network in networks])
    return curves.assign(
        series=curves["family"].map(family_title),
        layers=layers,
        shade=layers.mask(grey, "did not start"),
        error=curves["error"].map(MEASURES),
        alone=curves["alone"].eq(True),
        **{name: curves[name].round(3) for name in ("value", "low", "high")},
    )

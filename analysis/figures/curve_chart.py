"""The learning curves of the page, as a Vega-Lite chart."""

from __future__ import annotations

from typing import Any

import altair as alt
import matplotlib as mpl
import numpy as np
import pandas as pd

from analysis.curves import drawn_runs, error_window, milestones
from analysis.figures.depth_chart import HEIGHT, MOST_RUNS, switched
from analysis.figures.style import NOT_STARTED, depth_colors
from analysis.networks import add_family, depths_in, family_title, networks_in
from analysis.paper import figure6_curves, of_the_papers_protocol
from analysis.statistics import NAMED, at_chance, together

# A chart draws an element per point, which a browser does well up to about this many.
MOST_POINTS = 6_000


def learning_curves(runs: pd.DataFrame) -> alt.TopLevelMixin:
    """Training (dashed) and test error (solid) against iterations, a panel per family."""
    runs = drawn_runs(runs)
    networks = networks_in(runs)
    curves = _curves(runs)
    marks = pd.DataFrame({"milestone": milestones(runs)})
    lowered = alt.Chart(marks).mark_rule(strokeDash=[2, 3], color="#888888")
    layers = [lowered.encode(x="milestone:Q"), *_lines(_axes(runs), set(curves["kind"]))]
    chart = alt.layer(*layers, data=curves).properties(height=HEIGHT)
    titles = [network.title for network in networks]
    facet = alt.Facet("series:N", title=None, sort=titles)
    panels = chart.facet(facet=facet, columns=min(len(networks), 4))
    return switched(panels, networks, depths_in(runs))


def _axes(runs: pd.DataFrame) -> alt.Chart:
    """An empty chart with the axes, and with the depths by colour."""
    colors = {
        f"{depth} layers": mpl.colors.to_hex(color) for depth, color in depth_colors(runs).items()
    }
    if at_chance(runs):
        colors["did not start"] = NOT_STARTED
    scale = alt.Scale(domain=list(colors), range=list(colors.values()))
    legend = alt.Legend(title=None, symbolType="stroke", symbolOpacity=1)
    limits = alt.Scale(domain=list(error_window(runs)), clamp=False)
    return alt.Chart().encode(
        x=alt.X("iteration:Q", title="iteration", axis=alt.Axis(tickCount=4, format=",d")),
        y=alt.Y("value:Q", title="error (%)", scale=limits),
        color=alt.Color("shade:N", sort=list(colors), scale=scale, legend=legend),
    )


def _lines(base: alt.Chart, kinds: set[str]) -> list[alt.Chart]:
    """The layers of the kinds of curves that there are, and the points under the pointer."""
    dashes = alt.Scale(domain=list(NAMED.values()), range=[[4, 3], [1, 0]])
    legend = alt.Legend(
        title=None, symbolType="stroke", symbolOpacity=1, symbolStrokeColor="#444444"
    )
    dashed = base.encode(strokeDash=alt.StrokeDash("error:N", scale=dashes, legend=legend))
    tooltip = [
        alt.Tooltip("run:N"),
        alt.Tooltip("layers:N", title="depth"),
        alt.Tooltip("error:N"),
        alt.Tooltip("iteration:Q", format=",d"),
        alt.Tooltip("value:Q", title="error (%)", format=".2f"),
    ]
    named: dict[str, Any] = {"detail": "run:N", "tooltip": tooltip[:3]}
    faint = "band" in kinds
    layers = []
    if "paper" in kinds:
        paper = dashed.transform_filter("datum.kind == 'paper'")
        layers.append(paper.mark_line(strokeWidth=4, opacity=0.3, clip=True).encode(**named))
    if faint:
        band = base.transform_filter("datum.kind == 'band'")
        area = band.mark_area(opacity=0.13, clip=True, aria=False)
        layers.append(area.encode(y="low:Q", y2="high:Q", detail="error:N"))
        mean = dashed.transform_filter("datum.kind == 'band'")
        layers.append(mean.mark_line(strokeWidth=2, clip=True))
    width, opacity = (1, 0.4) if faint else (1.6, 1)
    line = dashed.transform_filter("datum.kind == 'run'")
    line = line.mark_line(strokeWidth=width, opacity=opacity, clip=True)
    # Unseen until hovered. Not the selection of the nearest point: with it, Vega-Lite
    # 6.4 looks for a tooltip's words in the wrong place and finds "undefined".
    hovered = alt.selection_point(
        name="hovered",
        fields=["run", "error", "iteration"],
        on="pointerover",
        clear="pointerout",
        empty=False,
    )
    seen = alt.condition(hovered, alt.value(1), alt.value(0))
    points = base.transform_filter("datum.kind == 'run' || datum.alone")
    points = points.mark_point(filled=True, size=130, clip=True, aria=False)
    return [
        *layers,
        line.encode(**named),
        points.encode(opacity=seen, tooltip=tooltip).add_params(hovered),
    ]


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
    long = _long(runs)
    # Iterations shared by all, counted from the end, so that each curve keeps its last row.
    drawn = long["run_id"].nunique() if not many else long.groupby(["family", "depth"]).ngroups
    points = long.groupby("error")["iteration"].transform("nunique") * 2 * drawn
    place = long.groupby("error")["iteration"].rank(method="dense", ascending=False) - 1
    long = long[place % (points // MOST_POINTS + 1) == 0]
    groups = together(long).groupby(keys, sort=False)["value"]
    means = groups.agg(["mean", "std", "count"]).query("count > 1").reset_index()
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
        published = _long(published[published["family"].isin(runs["family"])])
        # As dense as a pixel; the file has all.
        thin = published.iloc[:: max(1, len(published) // MOST_POINTS)]
        parts.append(thin.assign(kind="paper", run="He et al. 2015, Figure 6"))
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
        error=curves["error"].map(NAMED),
        alone=curves["alone"].eq(True),
        **{name: curves[name].round(3) for name in ("value", "low", "high")},
    )


def _long(runs: pd.DataFrame) -> pd.DataFrame:
    """A row per run, iteration and error that was measured there."""
    keys = ["family", "depth", "run_id", "iteration"]
    return runs.melt(keys, list(NAMED), "error", "value").dropna(subset=["value"])

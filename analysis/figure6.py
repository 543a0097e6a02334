"""Our errors and the paper's at the points of its Figure 6."""

from __future__ import annotations

import pandas as pd

from analysis.networks import add_family
from analysis.paper import FIGURE6_TOP, figure6_curves, shared_iterations
from analysis.statistics import NAMED

# Our error at a point of the paper is a mean over this many iterations on each side.
REACH = 500
# Means start at the paper's point at 4,000 iterations, which is decoded as 3,967 or so. Before it
# the errors fall fast, and most curves are not in Figure 6 yet.
FIRST = 3_900


def beside_figure6(runs: pd.DataFrame) -> pd.DataFrame:
    """Errors of each run at the paper's points, over the iterations of the paper's protocol.

    Args:
        runs: As from `load_runs`, of one protocol.

    Returns:
        A row per run, error and point of the paper: `family, depth, seed, run_id, error`
        ("training" or "test"), `phase` (how often the rate has fallen), `iteration`, `ours`
        (percent, the mean of our rows within 500 iterations, in the same phase), `paper` and
        `difference` (points). Points at the cut of the paper's axis, 20 %, are left out.
    """
    shared = shared_iterations(runs)
    ours = add_family(runs[runs["iteration"] <= shared])
    paper = add_family(figure6_curves())
    paper = paper[paper["iteration"] <= shared]
    parts = [
        _of_network(rows, paper[(paper["family"] == family) & (paper["depth"] == depth)], error)
        for (family, depth), rows in ours.groupby(["family", "depth"])
        for error in NAMED
    ]
    columns = ["family", "depth", "seed", "run_id", "error", "phase", "iteration", "ours", "paper"]
    table = pd.concat(parts)[columns] if parts else pd.DataFrame(columns=columns)
    return table.assign(difference=table["ours"] - table["paper"])


def _of_network(rows: pd.DataFrame, paper: pd.DataFrame, error: str) -> pd.DataFrame:
    """The same for one network and one error."""
    seeds = ["family", "depth", "seed", "run_id"]
    curves = rows.pivot_table(error, "iteration", seeds)
    ends = rows.groupby(seeds)["iteration"].max()
    phases = rows.groupby("iteration")["phase"].first().reindex(curves.index)
    # As decoded, the cut of the axis lies within a few hundredths of 20 %.
    points = paper[paper[error] < FIGURE6_TOP - 0.05].set_index("iteration")
    means = {
        at: curves[phases == phase].loc[at - REACH : at + REACH].mean().where(ends >= at)
        for at, phase in zip(points.index.to_list(), points["phase"], strict=True)
    }
    table = pd.DataFrame(means, curves.columns).melt(
        var_name="iteration", value_name="ours", ignore_index=False
    )
    named = table.dropna().reset_index().assign(error=NAMED[error])
    paper_too = points[[error, "phase"]].rename(columns={error: "paper"})
    return named.join(paper_too, on="iteration")


def mean_differences(beside: pd.DataFrame) -> pd.DataFrame:
    """How far each run lies from the paper while the rate is the same.

    Args:
        beside: As from `beside_figure6`.

    Returns:
        A row per run, error and phase of the rate: `family, depth, seed, error, phase, points`
        (how many, from the paper's point at 4,000 iterations on), `first` and `last` (their
        iterations), `difference` (their mean, in points of error) and `farthest` (the largest
        difference either way).
    """
    late = beside[beside["iteration"] >= FIRST]
    groups = late.groupby(["family", "depth", "seed", "error", "phase"], as_index=False)
    return groups.agg(
        points=("iteration", "size"),
        first=("iteration", "min"),
        last=("iteration", "max"),
        difference=("difference", "mean"),
        farthest=("difference", lambda values: values.loc[values.abs().idxmax()]),
    )


def over_seeds(beside: pd.DataFrame) -> pd.DataFrame:
    """The same as `beside_figure6`, as means over seeds with their standard deviation."""
    groups = beside.groupby(["family", "depth", "error", "iteration"], as_index=False)
    return groups.agg(
        n=("seed", "nunique"),
        our_error=("ours", "mean"),
        our_error_std=("ours", "std"),
        paper_error=("paper", "first"),
        difference=("difference", "mean"),
    )

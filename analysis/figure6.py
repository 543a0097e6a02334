"""Our errors beside the paper's, at the points of its Figure 6."""

from __future__ import annotations

import pandas as pd

from analysis.networks import add_family
from analysis.paper import FIGURE6_TOP, figure6_curves, shared_iterations
from analysis.statistics import NAMED

# Iterations on each side of a point of the paper over which ours is a mean.
REACH = 500
# The phases are compared from here on: below, most curves are not in Figure 6 yet.
FIRST = 4000


def beside_figure6(runs: pd.DataFrame) -> pd.DataFrame:
    """Errors of each run at the paper's points, over the iterations of the paper's protocol.

    Args:
        runs: As from `load_runs`, of one protocol.

    Returns:
        A row per run, error and point of the paper: `family, depth, seed, run_id, error`
        ("training" or "test"), `iteration`, `ours` (percent, the mean of our rows within 500
        iterations, in the same phase of the rate), `paper` and `difference` (points). A point
        at the cut of the paper's axis, 20 %, is none.
    """
    shared = shared_iterations(runs)
    keys = ["family", "depth"]
    ours = add_family(runs)[[*keys, "seed", "run_id", "iteration", "phase", *NAMED]]
    paper = add_family(figure6_curves())[[*keys, "iteration", "phase", *NAMED]]
    paper = paper[paper["iteration"] <= shared]
    parts = []
    for column, name in NAMED.items():
        points = paper[[*keys, "iteration", "phase", column]].rename(columns={column: "paper"})
        points = points[points["paper"] < FIGURE6_TOP]
        pairs = ours[ours["iteration"] <= shared].merge(points, on=[*keys, "phase"])
        near = (pairs["iteration_x"] - pairs["iteration_y"]).abs() <= REACH
        named = pairs[near].rename(columns={"iteration_y": "iteration", column: "ours"})
        named = named.dropna(subset=["ours"])
        by = [*keys, "seed", "run_id", "iteration", "paper"]
        parts.append(named.groupby(by)["ours"].mean().reset_index().assign(error=name))
    table = pd.concat(parts, ignore_index=True)
    columns = [*keys, "seed", "run_id", "error", "iteration", "ours", "paper"]
    return table[columns].assign(difference=table["ours"] - table["paper"])

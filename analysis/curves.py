"""The runs, the error axis and the milestones of figures of learning curves."""

import numpy as np
import pandas as pd

from analysis.networks import add_family
from analysis.paper import FIGURE6_TOP, shared_iterations


def drawn_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs whose curves are drawn, with the column `family`.

    These are the finished runs of each network; of a network without a finished run, all runs.
    An unfinished run beside finished ones would bend the mean where its curve ends.
    """
    runs = add_family(runs)
    finished = runs["state"] == "finished"
    network = [runs["family"], runs["depth"]]
    return runs[finished | ~finished.groupby(network).transform("any")]


def error_window(runs: pd.DataFrame) -> tuple[float, float]:
    """Limits of the error axis, in percent.

    Returns:
        Where the paper's curves are drawn too, from 0 to the top of the paper's axis, or to a
        quarter above the highest final error, whichever is more; otherwise limits that hold all
        errors.
    """
    errors = runs[["train_error", "test_error"]]
    if shared_iterations(runs):
        ends = runs.groupby("run_id")[list(errors)].last().max().max()
        return 0.0, min(100.0, max(FIGURE6_TOP, 5 * np.ceil(1.25 * ends / 5)))
    low, high = float(errors.min().min()), float(errors.max().max())
    # The axis begins at zero, unless the lower half of the panels would then be empty.
    bottom = 0.0 if not low >= high / 2 else 10 * np.floor((low - 2) / 10)
    return bottom, min(100, 5 * np.ceil(high / 5) + 2)


def milestones(runs: pd.DataFrame) -> list[int]:
    """Iterations after which the learning rate fell in a step in all runs that were still training.

    A rate that changes in every iteration has no milestones.
    """
    rows = runs.loc[runs["learning_rate"].notna(), ["run_id", "iteration", "phase"]]
    former = rows.groupby("run_id", sort=False).shift()
    lowered = rows["phase"] > former["phase"]
    counts = former.loc[lowered, "iteration"].astype(int).value_counts()
    lasts = rows.groupby("run_id")["iteration"].max()
    iterations = sorted(int(at) for at in counts.index)
    return [at for at in iterations if counts[at] == (lasts > at).sum()]

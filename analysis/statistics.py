"""Statistics of tidy frames: final errors, summaries over seeds, degradation, differences."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.networks import add_family
from analysis.samples import MISSING, compare, interval, kendall

DIFFERENCE = ("difference", "low", "high", "n")
ERRORS = ("train_error", "clean_train_error", "test_error")
# The errors that the paper reports, with their names for readers.
NAMED = {"train_error": "training", "test_error": "test"}
FINAL_SHARE = 0.1


def set_final_share(runs: pd.DataFrame, share: float) -> pd.DataFrame:
    """Sets the last share of the iterations, 0 to 1, over which `final_errors` takes the mean."""
    return runs.assign(final_share=share)


def final_share(runs: pd.DataFrame) -> float:
    """The last share of the iterations over which `final_errors` takes the mean."""
    if "final_share" in runs and len(runs):
        return float(runs["final_share"].iloc[0])
    return FINAL_SHARE


def final_errors(runs: pd.DataFrame) -> pd.DataFrame:
    """The final errors of each finished run.

    A final error is the mean over the last tenth of the run's iterations, or the share set by
    `set_final_share`, without rows before the last fall of the learning rate. The last row always
    counts. The mean is less noisy than the last row alone. The best row would be a choice made
    on the test set.

    Args:
        runs: As from `load_runs`.

    Returns:
        One row per finished run: `run_id, kind, shortcut, family, depth, seed, variant`, the final
        `train_error`, `clean_train_error` and `test_error` in percent, `gap`, test minus
        clean training error in points, both in evaluation mode, and `started`, whether all
        runs of its family and depth have started (see `started_runs`).
    """
    return _last_errors(runs, runs["state"] == "finished")


def first_phase_errors(runs: pd.DataFrame) -> pd.DataFrame:
    """The same as `final_errors`, at the end of the first phase of the learning rate.

    Of the iterations before the first fall of the rate, the last tenth counts. Runs whose rate
    never falls are left out.
    """
    fell = runs.groupby("run_id")["phase"].transform("max") > 0
    return _last_errors(runs, fell & (runs["phase"] == 0) & (runs["state"] == "finished"))


def _last_errors(runs: pd.DataFrame, chosen: pd.Series) -> pd.DataFrame:
    """Means over the last of the chosen rows of each run."""
    runs = add_family(runs)
    rows = runs[chosen]
    groups = rows.groupby("run_id")
    last = groups["iteration"].transform("max")
    tail = rows["iteration"] > (1 - final_share(rows)) * last
    tail &= rows["phase"] == groups["phase"].transform("max")
    means = rows[tail | (rows["iteration"] == last)].groupby("run_id")[list(ERRORS)].mean()
    described = rows.drop_duplicates("run_id")
    identity = ["run_id", "kind", "shortcut", "family", "depth", "seed", "variant"]
    finals = described[identity].join(means, on="run_id")
    finals["gap"] = finals["test_error"] - finals["clean_train_error"]
    started = started_runs(runs).groupby([runs["family"], runs["depth"]]).all().rename("started")
    finals = finals.join(started, on=["family", "depth"])
    return finals.sort_values(["family", "depth", "seed"], ignore_index=True)


def started_runs(runs: pd.DataFrame) -> pd.Series:
    """Whether the run of each row has finished, with a training loss that has left chance."""
    return (runs["state"] == "finished") & runs["started"].astype(bool)


def at_chance(runs: pd.DataFrame) -> set[tuple[str, int]]:
    """Family and depth of each network that has a run with its training loss at chance.

    Args:
        runs: As from `load_runs`, in any state.
    """
    stuck = add_family(runs)[~runs["started"].astype(bool)]
    return set(zip(stuck["family"], stuck["depth"].astype(int), strict=True))


def by_cell(finals: pd.DataFrame, error: str = "train_error") -> pd.DataFrame:
    """Mean, standard deviation over seeds, and number of seeds per family and depth.

    Args:
        finals: As from `final_errors`.
        error: The column to summarise.

    Returns:
        `family, depth, mean, std, n, low, high`; `std` and the 95 % interval of the mean,
        `low` to `high`, are missing for one seed.
    """
    groups = finals.groupby(["family", "depth"])[error]
    cells = groups.agg(["mean", "std", "count"]).rename(columns={"count": "n"}).reset_index()
    bounds = [interval(values.dropna()) or MISSING for _, values in groups]
    cells[["low", "high"]] = np.array(bounds, dtype=float).reshape(-1, 2)
    return cells


def by_cells(finals: pd.DataFrame, errors: Sequence[str]) -> pd.DataFrame:
    """Mean, as `ERROR`, and standard deviation, as `ERROR_std`, of several errors.

    Args:
        finals: As from `final_errors`.
        errors: The columns to summarise.

    Returns:
        `family, depth, n`, then two columns for each error.
    """
    cells = finals.groupby(["family", "depth"])
    table = cells.agg(n=(errors[0], "count"))
    for error in errors:
        table[error], table[f"{error}_std"] = cells[error].mean(), cells[error].std()
    return table.reset_index()


def _by_seed(finals: pd.DataFrame, error: str) -> pd.DataFrame:
    """An error by seed (rows), family and depth (columns); several runs of a seed are averaged."""
    return finals.pivot_table(error, "seed", ["family", "depth"])


def degradation(finals: pd.DataFrame, error: str = "train_error") -> pd.DataFrame:
    """What depth does to the error of each family, in points.

    Args:
        finals: As from `final_errors`.
        error: The column to compare.

    Returns:
        `family, shallow, deep, shallow_error, deep_error, degradation, low, high, n, tau,
        p_value`. `degradation` is the error at the greatest depth minus the error at the smallest
        (see `compare`), with its 95 % interval `low` to `high`, which is missing for one seed.
        `tau` is Kendall's tau-b between depth and error over all runs of the family, and `p_value`
        its two-sided p-value, which is large for few runs. Families with one depth are left out.
    """
    known = finals.dropna(subset=[error])
    wide, rows = _by_seed(known, error), []
    for family, runs in known.groupby("family"):
        shallow, deep = int(runs["depth"].min()), int(runs["depth"].max())
        if shallow == deep:
            continue
        ends = wide[[(family, shallow), (family, deep)]]
        shared = ends.dropna() if ends.notna().all(axis=1).any() else ends
        errors = [float(shared[column].mean()) for column in shared]
        effect = compare(ends[family, deep], ends[family, shallow])
        rows.append((family, shallow, deep, *errors, *effect, *kendall(runs["depth"], runs[error])))
    columns = ["family", "shallow", "deep", "shallow_error", "deep_error"]
    return pd.DataFrame(rows, columns=[*columns, "degradation", *DIFFERENCE[1:], "tau", "p_value"])


def family_difference(
    finals: pd.DataFrame, family: str, other: str, error: str = "train_error"
) -> pd.DataFrame:
    """Error of one family minus that of another at each depth both have, in points.

    Args:
        finals: As from `final_errors`.
        family: Such as "residual-A".
        other: Such as "plain".
        error: The column to compare.

    Returns:
        `depth, difference, low, high, n`, see `compare`.
    """
    one, two = (finals[finals["family"] == name].assign(family="") for name in (family, other))
    return study_difference(one, two, error).drop(columns="family")


def study_difference(
    finals: pd.DataFrame, other: pd.DataFrame, error: str = "train_error"
) -> pd.DataFrame:
    """Error in one study minus that in another, per family and depth both have, in points.

    Args:
        finals: As from `final_errors`.
        other: The same, of the other study.
        error: The column to compare.

    Returns:
        `family, depth, difference, low, high, n`, see `compare`.
    """
    one, two = _by_seed(finals, error), _by_seed(other, error)
    cells = [cell for cell in one.columns.to_list() if cell in two]
    rows = [(*cell, *compare(one[cell], two[cell])) for cell in cells]
    return pd.DataFrame(rows, columns=["family", "depth", *DIFFERENCE])


def ended(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that have ended for good: finished or diverged."""
    return runs[runs["state"].isin(["finished", "diverged"])]


def iterations_to_reach(runs: pd.DataFrame, levels: Sequence[float]) -> pd.DataFrame:
    """Iterations until each run's training error first reaches given levels.

    Args:
        runs: As from `load_runs`.
        levels: Training errors in percent.

    Returns:
        `run_id, family, depth, seed, level, iterations`, one row per run and level;
        `iterations` is interpolated between the first logged row at or below the level and
        the row before it, and missing where the run has not reached the level.
    """
    runs = add_family(runs).dropna(subset=["train_error"]).reset_index(drop=True)
    each = runs.drop_duplicates("run_id")[["run_id", "family", "depth", "seed"]]
    before = runs.groupby("run_id")[["iteration", "train_error"]].shift()
    parts = [each[:0].assign(level=0.0, iterations=0.0)]
    for level in levels:
        first = runs[runs["train_error"] <= level].drop_duplicates("run_id")
        former = before.loc[first.index]
        fall = former["train_error"] - first["train_error"]
        share = ((level - first["train_error"]) / fall).fillna(0.0)
        step = (first["iteration"] - former["iteration"]).fillna(0.0)
        reached = (first["iteration"] - share * step).set_axis(first["run_id"])
        parts.append(each.assign(level=level, iterations=each["run_id"].map(reached)))
    return pd.concat(parts, ignore_index=True)

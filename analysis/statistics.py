"""From tidy frames to tidy frames: final values, summaries over seeds, degradation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import special, stats

from analysis.networks import add_family

MISSING = (float("nan"), float("nan"))
DIFFERENCE = ("difference", "low", "high", "n")
ERRORS = ("train_error", "clean_train_error", "test_error")
# The errors that the paper has, with their names for readers.
NAMED = {"train_error": "training", "test_error": "test"}
FINAL_SHARE = 0.1
Values = np.ndarray | pd.Series


def set_final_share(runs: pd.DataFrame, share: float) -> pd.DataFrame:
    """Says which share of the iterations, 0 to 1, is the end of a run, for `final_errors`."""
    return runs.assign(final_share=share)


def final_share(runs: pd.DataFrame) -> float:
    """The share of the iterations that makes the end of these runs."""
    if "final_share" in runs and len(runs):
        return float(runs["final_share"].iloc[0])
    return FINAL_SHARE


def final_errors(runs: pd.DataFrame) -> pd.DataFrame:
    """Each finished run's errors at its end.

    A final value is the mean of the rows in the last tenth of the run's iterations, or in the
    share that `set_final_share` has set, but of none before the last fall of the learning
    rate. The last row always counts. It is less noisy than the last row alone, and never the
    best one, which would be chosen on the test set.

    Args:
        runs: As from `load_runs`.

    Returns:
        One row per finished run: `run_id, kind, shortcut, family, depth, seed, variant`, the final
        `train_error`, `clean_train_error` and `test_error` in percent, `gap`, test minus
        clean training error in points, both in evaluation mode, and `started`, whether all
        runs of its family and depth have started (see `started_runs`).
    """
    return _last_errors(runs, runs[runs["state"] == "finished"])


def first_phase_errors(runs: pd.DataFrame) -> pd.DataFrame:
    """The same as `final_errors`, at the end of the first phase of the learning rate.

    Of the iterations before the first fall of the rate, the last tenth counts. Runs whose rate
    never falls are left out.
    """
    fell = runs.groupby("run_id")["phase"].transform("max") > 0
    return _last_errors(runs, runs[fell & (runs["phase"] == 0) & (runs["state"] == "finished")])


def _last_errors(runs: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    identity = ["run_id", "kind", "shortcut", "family", "depth", "seed", "variant"]
    rows = add_family(rows)
    groups = rows.groupby("run_id")
    last = groups["iteration"].transform("max")
    tail = rows["iteration"] > (1 - final_share(rows)) * last
    if "phase" in rows:
        tail &= rows["phase"] == groups["phase"].transform("max")
    means = rows[tail | (rows["iteration"] == last)].groupby("run_id")[list(ERRORS)].mean()
    finals = rows.drop_duplicates("run_id")[identity].merge(
        means, left_on="run_id", right_index=True
    )
    finals["gap"] = finals["test_error"] - finals["clean_train_error"]
    finals["started"] = ~finals["run_id"].isin(_in_cells_that_did_not_start(runs))
    return finals.sort_values(["family", "depth", "seed"], ignore_index=True)


def started_runs(runs: pd.DataFrame) -> pd.Series:
    """Whether each run has started: it has finished, and its training loss has left chance.

    Returns:
        A value per row of `runs`. Frames without the column `started` of `load_runs` are
        taken to hold runs that left chance.
    """
    return (runs["state"] == "finished") & runs.get("started", True)


def at_chance(runs: pd.DataFrame) -> set[tuple[str, int]]:
    """Family and depth of the networks of which some run's training loss is at chance.

    Args:
        runs: As from `load_runs`, in any state.
    """
    started = runs.get("started", pd.Series(True, index=runs.index)).astype(bool)
    stuck = add_family(runs)[~started]
    return set(zip(stuck["family"], stuck["depth"].astype(int), strict=True))


def _in_cells_that_did_not_start(runs: pd.DataFrame) -> pd.Series:
    """Ids of the runs of each family and depth of which some run has not started."""
    runs = add_family(runs)
    started = started_runs(runs).groupby([runs["family"], runs["depth"]]).transform("all")
    return runs.loc[~started, "run_id"].drop_duplicates()


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
    cells = {error: by_cell(finals, error) for error in errors}
    table = cells[errors[0]][["family", "depth", "n"]]
    for error, cell in cells.items():
        table = table.assign(**{error: cell["mean"], f"{error}_std": cell["std"]})
    return table


def interval(values: Values, confidence: float = 0.95) -> tuple[float, float] | None:
    """Student's t interval of a mean over seeds; None for one seed, which allows none.

    This is the interval that verdicts rest on. A percentile bootstrap over few seeds would
    promise too much: of normal samples of 3, 5 and 10 its nominal 95 % cover 76, 84 and 89 %
    (1,500 simulated samples each), these cover 95 %.

    Args:
        values: One per seed; of differences, one per seed that both sides have.
        confidence: 0 to 1.
    """
    return _student(values, confidence, 0.0)


def prediction_interval(values: Values, confidence: float = 0.95) -> tuple[float, float] | None:
    """Where one more run would lie, by Student's t, as in `interval`."""
    return _student(values, confidence, 1.0)


def _student(values: Values, confidence: float, more: float) -> tuple[float, float] | None:
    """Bounds of the mean (`more` = 0), or of one more value (`more` = 1)."""
    sample = np.asarray(values, dtype=float)
    if len(sample) < 2:
        return None
    error = sample.std(ddof=1) * np.sqrt(more + 1 / len(sample))
    # What stats.t.ppf gives, twenty times as fast.
    half = error * special.stdtrit(len(sample) - 1, (1 + confidence) / 2)
    return float(sample.mean() - half), float(sample.mean() + half)


def compare(one: pd.Series, other: pd.Series) -> tuple[float, ...]:
    """Mean of one sample minus that of another, with its interval, in the order of DIFFERENCE.

    Runs of one seed see the same batches, and of one depth start from the same weights, so
    differences are taken seed by seed over the seeds that both have. Where they share none,
    the samples are taken as independent (Welch's interval).

    Args:
        one: Values by seed.
        other: The same.
    """
    # Of a seed that is there twice, the mean counts once.
    one, other = one.groupby(level=0).mean(), other.groupby(level=0).mean()
    pairs = (one - other).dropna()
    if len(pairs):
        bounds = interval(pairs) or MISSING
        return float(pairs.mean()), *bounds, len(pairs)
    bounds, n = MISSING, min(len(one), len(other))
    if n > 1:
        found = stats.ttest_ind(one, other, equal_var=False).confidence_interval()
        bounds = (float(found.low), float(found.high))
    return float(one.mean() - other.mean()), *bounds, n


def degradation(finals: pd.DataFrame, error: str = "train_error") -> pd.DataFrame:
    """Error at the greatest depth minus error at the smallest, per family, in points.

    Args:
        finals: As from `final_errors`.
        error: The column to compare.

    Returns:
        `family, shallow, deep, shallow_error, deep_error, degradation, low, high, n`,
        see `compare`; `low` to `high` is the 95 % interval over seeds. It is missing for one
        seed; families with one depth are left out.
    """
    rows = []
    for family, group in finals.dropna(subset=[error]).groupby("family"):
        shallow, deep = int(group["depth"].min()), int(group["depth"].max())
        if shallow == deep:
            continue
        low, high = (
            group[group["depth"] == depth].set_index("seed")[error] for depth in (shallow, deep)
        )
        shared = low.index.intersection(high.index)
        if len(shared):
            low, high = low[shared], high[shared]
        rows.append((family, shallow, deep, low.mean(), high.mean(), *compare(high, low)))
    columns = ["family", "shallow", "deep", "shallow_error", "deep_error"]
    return pd.DataFrame(rows, columns=[*columns, "degradation", *DIFFERENCE[1:]])


def depth_trend(finals: pd.DataFrame, error: str = "train_error") -> pd.DataFrame:
    """Kendall's tau-b between depth and error over the runs of each family.

    Args:
        finals: As from `final_errors`.
        error: The column to compare.

    Returns:
        `family, tau, p_value, n`, where n counts runs; families with one depth are left
        out. The p-value is two-sided, and large where there are few runs.
    """
    groups = finals.dropna(subset=[error]).groupby("family")
    rows = [
        (family, *stats.kendalltau(group["depth"], group[error]), len(group))
        for family, group in groups
        if group["depth"].nunique() > 1
    ]
    return pd.DataFrame(rows, columns=["family", "tau", "p_value", "n"])


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
    one, two = (finals[finals["family"] == name] for name in (family, other))
    return _cell_differences(one, two, ["depth"], error)


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
    return _cell_differences(finals, other, ["family", "depth"], error)


def _cell_differences(
    one: pd.DataFrame, other: pd.DataFrame, cell: list[str], error: str
) -> pd.DataFrame:
    samples = [
        {
            key: part.set_index("seed")[error]
            for key, part in finals.dropna(subset=[error]).groupby(cell)
        }
        for finals in (one, other)
    ]
    rows = [
        (*key, *compare(values, samples[1][key]))
        for key, values in samples[0].items()
        if key in samples[1]
    ]
    return pd.DataFrame(rows, columns=[*cell, *DIFFERENCE])


def together(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows up to where the first run of each network ends; a mean of more would bend there.

    Args:
        runs: As from `load_runs`, or some of its columns.
    """
    runs = add_family(runs)
    ends = runs.groupby("run_id")["iteration"].transform("max")
    return runs[runs["iteration"] <= ends.groupby([runs["family"], runs["depth"]]).transform("min")]


def ended(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that have ended for good: finished or diverged."""
    return runs[runs["state"].isin(["finished", "diverged"])]


def iterations_to_reach(runs: pd.DataFrame, levels: Sequence[float]) -> pd.DataFrame:
    """Iterations until each run's training error is first at given levels.

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

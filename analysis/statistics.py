"""From tidy frames to tidy frames: final values, summaries over seeds, degradation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

ERRORS = ("train_error", "clean_train_error", "test_error")
FINAL_SHARE = 0.1


def add_family(frame: pd.DataFrame) -> pd.DataFrame:
    """Adds the column `family`: "plain", "residual-A", …"""
    shortcut = frame["shortcut"].astype("string")
    family = (
        frame["kind"]
        .astype("string")
        .where(shortcut.isna(), frame["kind"].astype("string") + "-" + shortcut.fillna(""))
    )
    return frame.assign(family=family.astype(str))


def final_errors(runs: pd.DataFrame, share: float = FINAL_SHARE) -> pd.DataFrame:
    """Each finished run's errors at its end.

    A final value is the mean of the rows in the last `share` of the run's iterations, the
    last row included: less noisy than the last row alone, and never the best one, which
    would be chosen on the test set.

    Args:
        runs: As from `load_runs`.
        share: Share of the iterations, 0 to 1.

    Returns:
        One row per finished run: `run_id, kind, shortcut, family, depth, seed`, the final
        `train_error`, `clean_train_error` and `test_error` in percent, and `gap`, test
        minus clean training error in points, both in evaluation mode.
    """
    runs = add_family(runs[runs["state"] == "finished"])
    identity = ["run_id", "kind", "shortcut", "family", "depth", "seed"]
    rows = []
    for _, run in runs.groupby("run_id", sort=False):
        iteration = run["iteration"]
        tail = run[iteration > (1 - share) * iteration.max()]
        final = run.iloc[0][identity].to_dict()
        for error in ERRORS:
            final[error] = tail[error].mean()
        final["gap"] = final["test_error"] - final["clean_train_error"]
        rows.append(final)
    finals = pd.DataFrame(rows, columns=[*identity, *ERRORS, "gap"])
    return finals.sort_values(["family", "depth", "seed"], ignore_index=True)


def by_cell(finals: pd.DataFrame, error: str = "train_error") -> pd.DataFrame:
    """Mean, standard deviation over seeds, and number of seeds per family and depth.

    Args:
        finals: As from `final_errors`.
        error: The column to summarise.

    Returns:
        `family, depth, mean, std, n`; `std` is missing for one seed.
    """
    cells = finals.groupby(["family", "depth"])[error].agg(["mean", "std", "count"])
    return cells.rename(columns={"count": "n"}).reset_index()


def paired_interval(
    differences: np.ndarray | pd.Series, confidence: float = 0.95
) -> tuple[float, float] | None:
    """Student's t interval of a mean difference; None for one seed, which allows none."""
    values = np.asarray(differences, dtype=float)
    if len(values) < 2:
        return None
    half = stats.sem(values) * stats.t.ppf((1 + confidence) / 2, len(values) - 1)
    return float(values.mean() - half), float(values.mean() + half)


def degradation(finals: pd.DataFrame, error: str = "train_error") -> pd.DataFrame:
    """Error at the greatest depth minus error at the smallest, per family, in points.

    Both depths of a seed start from the same random streams, so differences are taken
    seed by seed, over the seeds that both depths have.

    Args:
        finals: As from `final_errors`.
        error: The column to compare.

    Returns:
        `family, shallow, deep, shallow_error, deep_error, degradation, low, high, n`;
        `low` and `high` bound the 95 % interval and are missing for one seed. Families
        with one depth, or without a common seed, are left out.
    """
    rows = []
    for family, group in finals.groupby("family"):
        shallow, deep = int(group["depth"].min()), int(group["depth"].max())
        table = group.pivot_table(index="seed", columns="depth", values=error)
        pairs = table[[shallow, deep]].dropna()
        if shallow == deep or pairs.empty:
            continue
        difference = pairs[deep] - pairs[shallow]
        low, high = paired_interval(difference) or (np.nan, np.nan)
        rows.append(
            {
                "family": family,
                "shallow": shallow,
                "deep": deep,
                "shallow_error": pairs[shallow].mean(),
                "deep_error": pairs[deep].mean(),
                "degradation": difference.mean(),
                "low": low,
                "high": high,
                "n": len(pairs),
            }
        )
    columns = [
        "family",
        "shallow",
        "deep",
        "shallow_error",
        "deep_error",
        "degradation",
        "low",
        "high",
        "n",
    ]
    return pd.DataFrame(rows, columns=columns)


def depth_trend(finals: pd.DataFrame, error: str = "train_error") -> pd.DataFrame:
    """Kendall's tau-b between depth and error over the runs of each family.

    Args:
        finals: As from `final_errors`.
        error: The column to compare.

    Returns:
        `family, tau, p_value, n`, where n counts runs; families with one depth are left
        out. The p-value is two-sided, and large where there are few runs.
    """
    rows = []
    for family, group in finals.dropna(subset=[error]).groupby("family"):
        if group["depth"].nunique() > 1:
            result = stats.kendalltau(group["depth"], group[error])
            rows.append(
                {
                    "family": family,
                    "tau": float(result.statistic),
                    "p_value": float(result.pvalue),
                    "n": len(group),
                }
            )
    return pd.DataFrame(rows, columns=["family", "tau", "p_value", "n"])


def family_difference(
    finals: pd.DataFrame, family: str, other: str, error: str = "train_error"
) -> pd.DataFrame:
    """Error of one family minus that of another at each depth both have, in points.

    Runs of one seed start from the same weights and see the same batches, so differences
    are taken seed by seed, over the seeds that both families have.

    Args:
        finals: As from `final_errors`.
        family: Such as "residual-A".
        other: Such as "plain".
        error: The column to compare.

    Returns:
        `depth, difference, low, high, n`; the bounds of the 95 % interval are missing for
        one seed.
    """
    index = ["depth", "seed"]
    one, two = (finals[finals["family"] == f].set_index(index)[error] for f in (family, other))
    pairs = (one - two).dropna()
    rows = []
    for depth, differences in pairs.groupby(level="depth"):
        low, high = paired_interval(differences) or (np.nan, np.nan)
        rows.append(
            {
                "depth": depth,
                "difference": differences.mean(),
                "low": low,
                "high": high,
                "n": len(differences),
            }
        )
    return pd.DataFrame(rows, columns=["depth", "difference", "low", "high", "n"])


def iterations_to_reach(runs: pd.DataFrame, levels: Sequence[float]) -> pd.DataFrame:
    """Iterations until each run's training error is first at or below given levels.

    Args:
        runs: As from `load_runs`.
        levels: Training errors in percent.

    Returns:
        `run_id, family, depth, seed, level, iterations`, one row per run and level;
        `iterations` is that of the first logged row at or below the level, and missing
        where the run has not reached it.
    """
    rows = []
    for run_id, run in add_family(runs).groupby("run_id", sort=False):
        first = run.iloc[0]
        for level in levels:
            below = run.loc[run["train_error"] <= level, "iteration"]
            rows.append(
                {
                    "run_id": run_id,
                    "family": first["family"],
                    "depth": first["depth"],
                    "seed": first["seed"],
                    "level": level,
                    "iterations": float(below.iloc[0]) if len(below) else np.nan,
                }
            )
    return pd.DataFrame(rows, columns=["run_id", "family", "depth", "seed", "level", "iterations"])

"""What all rules share: thresholds, and how an effect and its interval decide."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.statistics import base_families, degradation

# Points of error. A single seed has no interval, so a difference below the first counts as
# a tie: at the paper's schedule, seeds of one network differ by about that much.
TIE = 0.5
CLOSE = 2.0
SHARE = 1 / 3

Row = Mapping[Any, Any]
Interval = tuple[float, float] | None
SUPPORTED, CONTRADICTED, INSUFFICIENT = "supported", "contradicted", "insufficient"


@dataclass(frozen=True)
class Judgement:
    """What a rule makes of the runs; `Claim` without its words."""

    verdict: str
    finding: str
    effect: float | None = None
    interval: Interval = None
    n: int = 0
    runs: frozenset[str] = frozenset()
    unit: str = "points"


def missing(what: str) -> Judgement:
    """The verdict where what a rule needs was not run."""
    return Judgement(INSUFFICIENT, f"not run: {what}")


def interval_of(row: Row) -> Interval:
    """The interval of a row of statistics; None for one seed."""
    return None if math.isnan(row["low"]) else (float(row["low"]), float(row["high"]))


def rises(effect: float, interval: Interval) -> str:
    """Whether an effect is above zero: by its interval, or for one seed by more than a tie."""
    low, high = interval or (effect - TIE, effect + TIE)
    return SUPPORTED if low > 0 else CONTRADICTED if high < 0 else INSUFFICIENT


def at_most_a_tie(effect: float, interval: Interval) -> str:
    """Whether an effect is at most a tie; contradicted where it is clearly more."""
    low, high = interval or (effect, effect)
    return SUPPORTED if high <= TIE else CONTRADICTED if low > TIE else INSUFFICIENT


def all_of(parts: Iterable[str]) -> str:
    """Contradicted where a part is, supported where all are."""
    verdicts = set(parts)
    if CONTRADICTED in verdicts:
        return CONTRADICTED
    return SUPPORTED if verdicts == {SUPPORTED} else INSUFFICIENT


def negative(interval: Interval) -> Interval:
    """The interval of the effect the other way round."""
    return None if interval is None else (-interval[1], -interval[0])


def spread(interval: Interval, n: int) -> str:
    """An interval in words."""
    if interval is None:
        return "one seed: no interval"
    return f"95 % interval {interval[0]:+.1f} to {interval[1]:+.1f}, {n} seeds"


def degradation_of(finals: pd.DataFrame, family: str, error: str = "train_error") -> Row | None:
    """The family's row of `degradation`, if it has one."""
    rows = degradation(finals[finals["family"] == family], error).to_dict("records")
    return rows[0] if rows else None


def options(finals: pd.DataFrame) -> list[str]:
    """The residual families, without variants, in alphabetical order."""
    return sorted(
        family for family in base_families(finals)["family"].unique() if family != "plain"
    )


def runs_of(finals: pd.DataFrame, families: Iterable[str], depths: Iterable[int]) -> frozenset[str]:
    """Ids of the finished runs in these cells."""
    chosen = finals["family"].isin(list(families)) & finals["depth"].isin(list(depths))
    return frozenset(finals[chosen]["run_id"])

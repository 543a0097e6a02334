"""Assumed standard deviations over seeds, for verdicts from one seed: a table from the records.

`python -m tests.analysis.spreads` remakes the table.
"""

from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

TABLE = Path(__file__).resolve().parent / "data" / "spreads.csv"

# In points, for the paper's networks and schedule, as others have published them.
PAPER = {"train_error": 0.1, "clean_train_error": 0.1, "test_error": 0.25, "gap": 0.25}
# For all others: at least so many points, and at least this share of the error.
LEAST, SHARE = 1.5, 0.1

# Settings that do not change how far seeds differ.
ASIDE = ("precision", "model.head_std", "schedule.eval_statistics")


def conditions(settings: str, data: str) -> str:
    """Schedule, data and width of a run: its settings without those in `ASIDE`.

    Args:
        settings: As in the column of `load_runs`.
        data: The same.
    """
    words = [word for word in settings.split(" ") if word.partition("=")[0] not in ASIDE]
    return " ".join([data, *filter(None, words)])


@cache
def _recorded() -> dict[Any, float]:
    keys = ["conditions", "family", "depth", "error"]
    return pd.read_csv(TABLE).set_index(keys)["spread"].to_dict()


def spread(under: str, family: str, depth: int, error: str, value: float) -> float:
    """The standard deviation over seeds to assume of one run's error.

    It is that of the recorded study under the same conditions with the most seeds; at the
    paper's conditions it is the published one; elsewhere 1.5 points or a tenth of the error,
    whichever is larger.

    Args:
        under: As from `conditions`.
        family: Such as "residual-A".
        depth: In weighted layers.
        error: "train_error", "clean_train_error", "test_error" or "gap".
        value: The error in percent, or the gap in points.
    """
    usual = PAPER[error] if under == "CIFAR-10" else max(LEAST, SHARE * abs(value))
    return _recorded().get((under, family, depth, error), usual)

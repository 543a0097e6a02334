"""What the runs say, in numbers and in one sentence per family."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from analysis.statistics import degradation, final_errors

MEASURES = {"training": "train_error", "test": "test_error"}


def verdict(runs: pd.DataFrame) -> dict[str, Any]:
    """Degradation of each family, on training and test error.

    Args:
        runs: As from `load_runs`, of one protocol.

    Returns:
        A mapping ready for JSON: `rule`, `runs` (ids it rests on),
        `left_out` (unfinished, failed or diverged runs and their states), and per family and
        measure the depths, errors, degradation in points, its 95 % interval (null for
        one seed) and the number of seeds.
    """
    finals = final_errors(runs)
    states = runs.drop_duplicates("run_id").set_index("run_id")["state"]
    families: dict[str, dict[str, Any]] = {}
    for measure, column in MEASURES.items():
        for row in degradation(finals, column).to_dict("records"):
            interval = None if math.isnan(row["low"]) else [row["low"], row["high"]]
            families.setdefault(str(row["family"]), {})[measure] = {
                "depths": [row["shallow"], row["deep"]],
                "errors": [row["shallow_error"], row["deep_error"]],
                "degradation": row["degradation"],
                "interval": interval,
                "n": row["n"],
            }
    return {
        "rule": "error at the greatest depth minus error at the smallest, in points; "
        "95 % interval over seeds, paired",
        "runs": sorted(finals["run_id"]),
        "left_out": states[states != "finished"].to_dict(),
        "families": families,
    }


def summary(verdict: dict[str, Any]) -> list[str]:
    """The verdict on training errors, one sentence per family."""
    lines = []
    for family, measures in verdict["families"].items():
        found = measures["training"]
        (shallow, deep), (low_error, high_error) = found["depths"], found["errors"]
        if found["interval"] is None:
            spread = "one seed: no interval"
        else:
            low, high = found["interval"]
            spread = f"95 % interval {low:+.1f} to {high:+.1f}, {found['n']} seeds"
        lines.append(
            f"{family}: training error {low_error:.1f} % at {shallow} layers, "
            f"{high_error:.1f} % at {deep}: {found['degradation']:+.1f} points ({spread})"
        )
    if verdict["left_out"]:
        lines.append(
            "left out, not finished: "
            + ", ".join(f"{run} ({state})" for run, state in verdict["left_out"].items())
        )
    return lines or ["no family has finished runs at two depths: no verdict"]

"""What the runs say: degradation of each family, and the paper's ten claims."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import pandas as pd

from analysis.claims import judge
from analysis.statistics import degradation, final_errors

MEASURES = {"training": "train_error", "test": "test_error"}


def verdict(runs: pd.DataFrame) -> dict[str, Any]:
    """Degradation of each family, and the ten claims, ready for JSON.

    Args:
        runs: As from `load_runs`, of one protocol.

    Returns:
        `rule`, `runs` (ids it rests on), `left_out` (runs that are not finished, and their
        states), `families` (per family and measure the depths, errors, degradation in
        points, its 95 % interval, null for one seed, and the number of seeds) and `claims`.
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
        "claims": [asdict(claim) for claim in judge(runs)],
    }


def summary(verdict: dict[str, Any]) -> list[str]:
    """The verdict on training errors, a line per family, then a line per claim."""
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
    if not verdict["families"]:
        lines.append("no family has finished runs at two depths: no verdict")
    for claim in verdict["claims"]:
        lines.append(f"claim {claim['number']}, {claim['verdict']}: {claim['claim']}")
        if not claim["finding"].startswith("not run"):
            lines.append(f"    {claim['finding']}")
    return lines

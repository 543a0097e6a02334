"""What the runs say: degradation of each family, and the paper's ten claims."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import pandas as pd

from analysis.claims import judge
from analysis.statistics import degradation, depth_trend, family_title, final_errors

MEASURES = {"training": "train_error", "test": "test_error"}


def verdict(runs: pd.DataFrame, probes: pd.DataFrame | None = None) -> dict[str, Any]:
    """Degradation of each family, and the ten claims, ready for JSON.

    Args:
        runs: As from `load_runs`, of one protocol.
        probes: As from `load_probes`, of the same runs.

    Returns:
        `answer` (one sentence), `rule`, `runs` (ids it rests on), `left_out` (runs that are
        not finished, and their states), `families` (per family and measure the depths,
        errors, degradation in points, its 95 % interval, null for one seed, the number of
        seeds, and Kendall's tau of error and depth over all runs) and `claims`.
    """
    finals = final_errors(runs)
    states = runs.drop_duplicates("run_id").set_index("run_id")["state"]
    families: dict[str, dict[str, Any]] = {}
    for measure, column in MEASURES.items():
        trends = depth_trend(finals, column).set_index("family")
        for row in degradation(finals, column).to_dict("records"):
            trend = trends.loc[row["family"]]
            families.setdefault(str(row["family"]), {})[measure] = {
                "depths": [row["shallow"], row["deep"]],
                "errors": [row["shallow_error"], row["deep_error"]],
                "degradation": row["degradation"],
                "interval": _bounds(row["low"], row["high"]),
                "n": row["n"],
                "kendall_tau": _or_none(trend["tau"]),
                "kendall_p": _or_none(trend["p_value"]),
            }
    return {
        "answer": answer(runs, families),
        "rule": "error at the greatest depth minus error at the smallest, in points; "
        "95 % interval over seeds, paired",
        "runs": sorted(finals["run_id"]),
        "left_out": states[states != "finished"].to_dict(),
        "families": families,
        "claims": [asdict(claim) for claim in judge(runs, probes)],
    }


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _bounds(low: float, high: float) -> list[float] | None:
    return None if math.isnan(low) else [float(low), float(high)]


def answer(runs: pd.DataFrame, families: dict[str, dict[str, Any]]) -> str:
    """What depth does to the training error of each family, in one sentence."""
    data = ", ".join(sorted(runs["data"].unique()))
    found = {name: both["training"] for name, both in families.items() if "training" in both}
    # A study of variants is answered for the study's own networks, where they are there.
    found = {name: change for name, change in found.items() if "," not in name} or found
    if not found:
        return f"On {data}, no family has finished runs at two depths yet: there is no answer."
    depths = {tuple(change["depths"]) for change in found.values()}
    parts = []
    for family, change in found.items():
        low, high = change["errors"]
        between = "" if len(depths) == 1 else " between {} and {} layers".format(*change["depths"])
        parts.append(
            f"of {family_title(family)} networks{between} by {change['degradation']:+.1f} points "
            f"({low:.1f} → {high:.1f} %)"
        )
    listed = ", ".join(parts[:-1]) + " and " * (len(parts) > 1) + parts[-1]
    if len(depths) == 1:
        start = "going from {} to {} layers changes".format(*depths.pop())
    else:
        start = "depth changes"
    return f"On {data}, {start} the training error {listed}."


def spread(found: dict[str, Any]) -> str:
    """A degradation in points, its interval and seeds, in words."""
    points = f"{found['degradation']:+.1f} points"
    if found["interval"] is None:
        return f"{points}, one seed: no interval"
    low, high = found["interval"]
    return f"{points}, 95 % interval {low:+.1f} to {high:+.1f}, {found['n']} seeds"


def summary(verdict: dict[str, Any]) -> list[str]:
    """The verdict on training errors, a line per family, then a line per claim."""
    lines = []
    for family, measures in verdict["families"].items():
        if (found := measures.get("training")) is None:
            continue
        (shallow, deep), (low_error, high_error) = found["depths"], found["errors"]
        lines.append(
            f"{family}: training error {low_error:.1f} % at {shallow} layers, "
            f"{high_error:.1f} % at {deep} ({spread(found)})"
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

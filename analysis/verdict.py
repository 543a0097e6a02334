"""The effect of depth in a sentence, and the verdicts on the paper's claims."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis import statistics
from analysis.cells import Cell, cells_of
from analysis.claims import Ruling, Verdict, judge
from analysis.networks import family_title, without_variants

# Version of verdict.json, whose keys docs/verdicts.md documents. Later versions only add keys.
FORMAT = 2
CHOSEN = (
    "The quick schedule was chosen so that the effect shows in ten minutes: this is a "
    "demonstration, not evidence."
)


def verdict(
    runs: pd.DataFrame, probes: pd.DataFrame | None = None, each: pd.DataFrame | None = None
) -> dict[str, Any]:
    """The effect of depth on each family, and the verdicts on the paper's claims.

    Args:
        runs: As from `load_runs`, of one protocol.
        probes: As from `load_probes`, of the same runs.
        each: As `Study.each`, of the same study, so that runs without a row are known too.

    Returns:
        The content of `verdict.json`; docs/verdicts.md documents the keys.
    """
    finals = statistics.final_errors(runs)
    cells = cells_of(runs, probes, each)
    known = runs.drop_duplicates("run_id") if each is None else each
    states = known.set_index("run_id")["state"]
    return {
        "format": FORMAT,
        "answer": answer(runs, finals),
        "remarks": [
            *_not_started(cells.not_started),
            *[CHOSEN] * ("quick" in set(runs["schedule"])),
        ],
        "not_started": [
            {"family": cell.family, "depth": cell.depth, "seeds": cell.why_not}
            for cell in cells.not_started
        ],
        "rule": "final error at the greatest depth that started minus at the smallest, in points",
        "runs": sorted(finals["run_id"]),
        "left_out": states[states != "finished"].to_dict(),
        "families": _families(finals[finals["started"]]),
        "claims": [_described(found) for found in judge(cells)],
    }


def _families(finals: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """What depth does to the training and test error of each family."""
    families: dict[str, dict[str, Any]] = {}
    for column, measure in statistics.NAMED.items():
        table = statistics.degradation(finals, column).astype(object)
        for row in table.where(table.notna(), None).to_dict("records"):
            families.setdefault(row["family"], {})[measure] = {
                "depths": [row["shallow"], row["deep"]],
                "errors": [row["shallow_error"], row["deep_error"]],
                "degradation": row["degradation"],
                "interval": None if row["low"] is None else [row["low"], row["high"]],
                "n": row["n"],
                "kendall_tau": row["tau"],
                "kendall_p": row["p_value"],
            }
    return families


def _described(found: Verdict) -> dict[str, Any]:
    """A verdict by the keys of `verdict.json`."""
    claim, outcome = found.claim, found.outcome
    described = {
        "label": found.label,
        "number": claim.number,
        "claim": claim.title,
        "verdict": str(found.ruling),
        "reasons": list(found.reasons),
        "statement": found.statement,
        "command": found.command,
        "quantity": claim.says("Quantity"),
        "rule": {
            heading.lower(): claim.says(heading) for heading in ("Testable", "Supported", "Against")
        },
        "paper": claim.says("Paper"),
    }
    if outcome is None:
        numbers = ("finding", "leaning", "effect", "unit", "interval", "interval_from", "training")
        return described | dict.fromkeys(numbers) | {"n": 0, "runs": []}
    return described | {
        "finding": outcome.finding,
        "leaning": str(outcome.leaning),
        "effect": outcome.effect.value,
        "unit": outcome.unit,
        "interval": outcome.effect.bounds(outcome.confidence),
        "interval_from": "assumed spread" if outcome.effect.n == 1 else "seeds",
        "n": outcome.seeds,
        "training": outcome.training,
        "runs": sorted(run for cell in outcome.rests_on for run in cell.runs),
    }


def answer(runs: pd.DataFrame, finals: pd.DataFrame) -> str:
    """What depth does to the training error of each family, in one sentence.

    The depths are the smallest and the greatest at which plain networks started; a family that
    lacks one of them is compared at its own smallest and greatest depth.
    """
    data = ", ".join(sorted(runs["data"].unique()))
    started = finals[finals["started"]]
    # Variants, such as other initial weights, count only in a study of nothing else.
    started = started if (own := without_variants(started)).empty else own
    plain = started.loc[started["family"] == "plain", "depth"]
    ends = started[started["depth"].isin([plain.min(), plain.max()])]
    both = ends.groupby("family")["depth"].nunique() == 2
    elsewhere = ~started["family"].isin(both.index[both])
    compared = started[elsewhere | started.index.isin(ends.index)]
    rows = statistics.degradation(compared).to_dict("records")
    if not rows:
        return f"On {data}, no family started at two depths, so depth cannot be compared."
    depths = {(row["shallow"], row["deep"]) for row in rows}
    parts: list[str] = []
    for row in rows:
        of_error = " of training error" * (not parts)
        between = "" if len(depths) == 1 else f" from {row['shallow']} to {row['deep']} layers"
        parts.append(
            f"{row['degradation']:+.1f} points{of_error} for {family_title(row['family'])} networks"
            f"{between} ({row['shallow_error']:.1f} → {row['deep_error']:.1f} %)"
        )
    listed = ", ".join(parts[:-1]) + " and " * (len(parts) > 1) + parts[-1]
    shallow, deep = next(iter(depths))
    start = f"from {shallow} to {deep} layers" if len(depths) == 1 else "with more layers"
    return f"On {data}, {start}: {listed}."


def _not_started(cells: Sequence[Cell]) -> list[str]:
    """A sentence for each reason why networks did not start."""
    known = {"at chance": "Did not start (training loss at chance)", "diverged": "Diverged"}
    lines = []
    for why in sorted({reason for cell in cells for reason in cell.why_not.values()}):
        found = [cell for cell in cells if why in cell.why_not.values()]
        depths = {
            family: ", ".join(str(cell.depth) for cell in found if cell.family == family)
            for family in dict.fromkeys(cell.family for cell in found)
        }
        listed = "; ".join(f"{family_title(name)} at {at} layers" for name, at in depths.items())
        lines.append(f"{known.get(why, f'Not finished ({why})')}: {listed}.")
    return lines


def by_ruling(claims: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Verdicts grouped in the order in which they are shown; each group with its name."""
    groups = {str(r): [claim for claim in claims if claim["verdict"] == r] for r in Ruling}
    return [(ruling, found) for ruling, found in groups.items() if found]


def summary(verdict: dict[str, Any]) -> list[str]:
    """The answer, then a paragraph for each claim: verdict, numbers, and the paper's side."""
    lines = [verdict["answer"], *verdict["remarks"]]
    for ruling, claims in by_ruling(verdict["claims"]):
        lines.append(f"{ruling}:")
        for claim in claims:
            lines.append(f"  claim {claim['label']}: {claim['claim']}")
            lines.append(f"    {claim['statement']}")
            lines += [f"    here: {claim['finding']}"] * bool(claim["finding"])
            lines.append(f"    paper: {claim['paper']}")
            what = "decide" if ruling == Ruling.UNDECIDED else "test"
            lines += [f"    to {what} it: {claim['command']}"] * bool(claim["command"])
    return lines

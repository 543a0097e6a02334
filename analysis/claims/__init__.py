"""The paper's ten claims, each judged by a stated rule from the runs there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd

from analysis.claims import curves, mechanism
from analysis.claims.judgement import (
    CLOSE,
    CONTRADICTED,
    INSUFFICIENT,
    SHARE,
    SUPPORTED,
    TIE,
    Judgement,
)
from analysis.statistics import add_family, base_families, final_errors


@dataclass(frozen=True)
class Claim:
    """One claim of He et al. 2015 and what the runs say to it.

    Attributes:
        number: As in CLAIMS.
        claim: In words.
        verdict: "supported", "contradicted" or "insufficient".
        rule: How the verdict follows from the numbers, in words.
        finding: The numbers, in words; what is missing where the verdict is insufficient.
        effect: The number the rule looks at.
        unit: Its unit: points of error, where nothing else is said.
        interval: Its 95 % interval over seeds; None for one seed.
        n: Seeds it rests on.
        runs: Ids of the runs it rests on.
    """

    number: int
    claim: str
    verdict: str
    rule: str
    finding: str
    effect: float | None = None
    unit: str = "points"
    interval: tuple[float, float] | None = None
    n: int = 0
    runs: list[str] = field(default_factory=list)


ABOVE = f"by its 95 % interval over seeds, or for one seed by more than {TIE} points"

# Claim, rule, and the function that applies it.
CLAIMS: list[tuple[str, str, Callable[..., Judgement]]] = [
    (
        "Plain networks degrade: more depth, higher training error.",
        "Training error at the greatest depth minus at the smallest is above zero: "
        f"{ABOVE}. Contradicted where it is below zero in the same sense.",
        curves.plain_degrades,
    ),
    (
        "It is not over-fitting: the test error rises with the training error.",
        "Both the training and the test error of plain networks rise from the smallest to "
        "the greatest depth, each judged as in claim 1. Contradicted where the test error "
        "rises and the training error does not.",
        curves.not_overfitting,
    ),
    (
        "A better solution exists by construction, and training from scratch does not find it.",
        "A deeper plain network made of a trained shallow one and identity layers has the "
        f"shallow one's clean training error, to {mechanism.SAME} points, and the same depth "
        f"trained from scratch ends above it: {ABOVE}.",
        mechanism.better_by_construction,
    ),
    (
        "Residual networks do not degrade, and at equal depth are below plain ones.",
        f"Their training error rises with depth by at most {TIE} points: the upper bound of "
        "the interval, or the value for one seed; contradicted where the lower bound, or the "
        "value, is above that. And residual minus plain is below zero at every depth both "
        f"have: {ABOVE}.",
        curves.residual_does_not_degrade,
    ),
    (
        "At the smallest depth the residual network ends close to the plain one, and sooner.",
        f"Final training errors differ by at most {CLOSE} points, and the residual network's "
        f"mean training error over the course of training is lower by more than {TIE}.",
        curves.sooner_at_the_smallest_depth,
    ),
    (
        "Identity shortcuts suffice: the options differ little.",
        "From the smallest to the greatest depth that plain and all options have, each "
        f"option's training error rises by at most {SHARE:.0%} of what plain's does, and at "
        "the greatest they differ by at most that. Seeds' means; no interval is used.",
        curves.options_differ_little,
    ),
    (
        "It is probably not vanishing gradients.",
        "With batch norm, at the first look: the deepest plain network's forward variance is "
        f"at least {mechanism.VARIANCE} at each layer, and the norms of its gradients with "
        "respect to activations span, from the smallest to the largest layer, at most "
        f"{mechanism.ORDERS:g} orders of magnitude more than the shallowest one's. Later looks "
        "are reported and do not decide: by then a network may have left its path.",
        mechanism.not_vanishing,
    ),
    (
        "Residual functions are small.",
        "The mean over layers of the responses' standard deviation is lower in residual "
        "networks than in plain ones at every depth both have, and lower in the deepest "
        "residual network than in the shallowest: by the 95 % interval over seeds, or for one "
        f"seed by more than {mechanism.MARGIN:.0%}.",
        mechanism.responses_are_small,
    ),
    (
        "A shortcut over a single layer shows no advantage.",
        "At no depth is a residual network with one layer per block below plain: not by its "
        f"95 % interval over seeds, nor for one seed by more than {TIE} points. Open where an "
        f"interval reaches from more than {TIE} points below to above.",
        mechanism.single_layer_shows_no_advantage,
    ),
    (
        "1202 layers train, but test worse than 110.",
        "At 1202 layers the training error is below 0.1 % and the test error above that of "
        f"110 layers with the same option: {ABOVE}.",
        curves.thousand_layers,
    ),
]


def judge(runs: pd.DataFrame, probes: pd.DataFrame | None = None) -> list[Claim]:
    """Judges the ten claims of He et al. 2015.

    Args:
        runs: As from `load_runs`, of one protocol; only finished runs count.
        probes: As from `load_probes`, of the same runs.
    """
    finals = final_errors(runs)
    if probes is not None:
        probes = probes[probes["state"] == "finished"]
    diverged = base_families(add_family(runs[runs["state"] == "diverged"]))["run_id"].nunique()
    claims = []
    for number, (claim, rule, apply) in enumerate(CLAIMS, start=1):
        found = apply(finals, runs, probes)
        finding = found.finding
        if found.runs and diverged:
            finding += f"; {diverged} diverged runs are left out"
        claims.append(
            Claim(
                number=number,
                claim=claim,
                verdict=found.verdict,
                rule=rule,
                finding=finding,
                effect=found.effect,
                unit=found.unit,
                interval=found.interval,
                n=found.n,
                runs=sorted(found.runs),
            )
        )
    return claims


__all__ = [
    "CLAIMS",
    "CONTRADICTED",
    "INSUFFICIENT",
    "SUPPORTED",
    "TIE",
    "Claim",
    "judge",
]

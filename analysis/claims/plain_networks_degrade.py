"""Claim 1."""

from itertools import pairwise

from analysis.cells import Cells
from analysis.claims.rules import (
    HALF,
    MARGIN,
    WITHIN,
    Claim,
    Leaning,
    Outcome,
    need_started,
    shown,
    training_of,
)
from analysis.quantity import Quantity


def rule(cells: Cells, _: str) -> Outcome:
    """D, the change of plain training error from the smallest to the greatest started depth."""
    depths = need_started(cells, ["plain"], 2, "plain networks at two depths")
    plain = [cells["plain", depth] for depth in depths]
    change = plain[-1].train - plain[0].train
    rests_on = [plain[0], plain[-1]]
    unchanged = equivalent(change) and training_of(rests_on) >= HALF
    if unchanged or change.high() < 0:
        leaning = Leaning.AGAINST
    else:
        leaning = Leaning.FOR if change.low() > 0 else Leaning.NEITHER
    falls = [
        f"training error falls by {shallow.train.value - deep.train.value:.1f} points from "
        f"{shallow.depth} to {deep.depth} layers"
        for shallow, deep in pairwise(plain)
        if (deep.train - shallow.train).high() < -MARGIN
    ]
    return Outcome(
        leaning=leaning,
        finding=f"plain networks, from {depths[0]} to {depths[-1]} layers: {shown(change)} "
        f"({plain[0].train.value:.1f} to {plain[-1].train.value:.1f} %)",
        effect=change.value,
        interval=change.bounds(),
        n=change.n,
        rests_on=rests_on,
        earlier=change.in_first_phase,
        towards=+1,
        unless=falls,
        against_unless=[
            f"{cell.name} did not start" for cell in cells.not_started if cell.family == "plain"
        ],
    )


def equivalent(change: Quantity) -> bool:
    """Whether a change is zero within half a point."""
    low, high = change.bounds(WITHIN)
    return -MARGIN < low and high < MARGIN


CLAIM = Claim(
    number=1,
    title="Plain networks degrade: more depth, higher training error.",
    quantity="D, training error of plain networks at the greatest depth that started minus at "
    "the smallest, in points",
    testable="plain networks started at two depths",
    supported="the 95 % lower bound of D is above 0, and between neighbouring depths the error "
    "does not fall by more than 0.5 points by its upper bound",
    against="D is 0 within 0.5 points (90 % interval) after at least half of the paper's "
    "training, or its upper bound is below 0; a plain depth that did not start blocks "
    "“contradicted”",
    paper="Training error 1.3 % at 20 layers and 5.7 % at 56; above 60 % at 110 (Figure 6).",
    experiment="quick",
    at_scale="figure6",
    rule=rule,
)

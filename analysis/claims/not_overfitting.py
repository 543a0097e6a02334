"""Claim 2."""

from analysis.cells import Cells
from analysis.claims.plain_networks_degrade import equivalent
from analysis.claims.rules import (
    WITHIN,
    Claim,
    Leaning,
    Outcome,
    least_n,
    need_started,
    need_values,
    shown,
)


def rule(cells: Cells, _: str) -> Outcome:
    """Changes of plain training and test error, and of the gap between them."""
    depths = need_started(cells, ["plain"], 2, "plain networks at two depths")
    shallow, deep = cells["plain", depths[0]], cells["plain", depths[-1]]
    train = deep.train - shallow.train
    test = need_values(deep.test - shallow.test, "evaluations on the test set")
    gap = deep.error("gap") - shallow.error("gap")
    excess = need_values(gap - 0.5 * test, "clean training errors")
    leaning = Leaning.NEITHER
    if test.low() > 0 and equivalent(train):
        leaning = Leaning.AGAINST
    elif train.low() > 0 and test.low() > 0 and excess.high(WITHIN) < 0:
        leaning = Leaning.FOR
    return Outcome(
        leaning=leaning,
        finding=f"plain networks, from {depths[0]} to {depths[-1]} layers: test error "
        f"{shown(test)}, training error {shown(train)}, gap between test and clean training "
        f"error {shown(gap)}",
        effect=test.value,
        interval=test.bounds(),
        n=least_n([train, test, excess]),
        rests_on=[shallow, deep],
        # What over-fitting denies, and what may yet come, is that the training error rises.
        earlier=test.in_first_phase,
        towards=-1,
    )


CLAIM = Claim(
    number=2,
    title="It is not over-fitting: the test error rises with the training error.",
    quantity="the changes of plain training and test error from the smallest to the greatest "
    "depth that started, and of the gap, test minus clean training error, in points",
    testable="plain networks started at two depths",
    supported="the 95 % lower bounds of both changes are above 0, and the 90 % upper bound of "
    "the gap's change minus half of the test error's is below 0",
    against="the change of the test error is above 0 while that of the training error is 0 "
    "within 0.5 points (90 % interval)",
    paper="From 20 to 56 layers test error rises from 9.7 to 13.2 %, training error from 1.3 to "
    "5.7 % (Figure 6).",
    experiment="quick",
    at_scale="figure6",
    rule=rule,
)

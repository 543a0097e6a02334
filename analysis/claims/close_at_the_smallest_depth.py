"""Claim 5b."""

from analysis.cells import Cells
from analysis.claims.rules import (
    HALF,
    MARGIN,
    WITHIN,
    Claim,
    Leaning,
    NotTestable,
    Outcome,
    least_n,
    need_started,
    need_values,
    shown,
    training_of,
)

# The share of the gap at the greatest depth that counts as close.
CLOSE = 0.25


def rule(cells: Cells, option: str) -> Outcome:
    """g(d₀), plain minus residual training error at the smallest depth, beside g(d*)."""
    family = f"residual-{option}"
    what = f"plain and residual {option} networks at two depths"
    depths = need_started(cells, ["plain", family], 2, what)
    rests_on = [cells[name, d] for d in (depths[0], depths[-1]) for name in ("plain", family)]
    if not all(cell.rate_fell for cell in rests_on):
        raise NotTestable("too short: the learning rate has not fallen to a tenth")
    shallow, deep = (cells["plain", d].train - cells[family, d].train for d in depths[:: len(depths) - 1])
    above = need_values(shallow - CLOSE * deep, "the same seeds of both")
    below = shallow + CLOSE * deep
    leaning = Leaning.NEITHER
    if above.low(WITHIN) > 0 and shallow.low(WITHIN) > MARGIN and training_of(rests_on) >= HALF:
        leaning = Leaning.AGAINST
    elif above.high(WITHIN) < 0 and below.low(WITHIN) > 0:
        leaning = Leaning.FOR
    return Outcome(
        leaning=leaning,
        finding=f"plain minus residual {option}: {shown(shallow, WITHIN)} at {depths[0]} layers, "
        f"{CLOSE * deep.value:.1f} allowed, a quarter of {deep.value:+.1f} at {depths[-1]}",
        effect=shallow.value,
        interval=shallow.bounds(WITHIN),
        n=least_n([above, shallow]),
        rests_on=rests_on,
        earlier=shallow.in_first_phase,
        towards=-1,
    )


CLAIM = Claim(
    number=5,
    part="b",
    title="At the smallest depth residual and plain networks end close to each other.",
    quantity="g(d₀), plain minus residual training error at the smallest depth, beside g(d*) at "
    "the greatest, in points",
    testable="both started at two depths, and the learning rate has fallen to a tenth",
    supported="the 90 % bounds of g(d₀) are within a quarter of g(d*)",
    against="the 90 % lower bounds of g(d₀) − 0.25·g(d*) and of g(d₀) are above 0 and 0.5 points, "
    "after at least half of the paper's training",
    paper="Plain ends 0.7 points of training error above residual A at 20 layers, and 5.7 at 56 "
    "(Figure 6).",
    experiment="quick",
    at_scale="figure6",
    rule=rule,
)

"""Claim 4, for each shortcut option."""

from analysis.cells import Cells
from analysis.claims.rules import (
    HALF,
    MARGIN,
    WITHIN,
    Claim,
    Leaning,
    Outcome,
    least_n,
    need_started,
    shown,
    training_of,
)

# Before half of the paper's training, the share of D that a residual network may lose.
SHARE = 0.1


def rule(cells: Cells, option: str) -> Outcome:
    """R(d), the rise of residual training error with depth, and g(d), plain minus residual."""
    family = f"residual-{option}"
    what = f"plain and residual {option} networks at two depths"
    shared = need_started(cells, ["plain", family], 2, what)
    first = shared[0]
    deeper = [depth for depth in cells.started(family) if depth > first]
    rests_on = [cells["plain", d] for d in shared] + [cells[family, d] for d in (first, *deeper)]
    plain_rise = cells["plain", shared[-1]].train - cells["plain", first].train
    rise = {d: cells[family, d].train - cells[family, first].train for d in deeper}
    ahead = {d: cells["plain", d].train - cells[family, d].train for d in shared}
    grows = ahead[shared[-1]] - ahead[first]
    long = training_of(rests_on) >= HALF
    limit = MARGIN if long else 0.0
    over = {d: r if long else r - SHARE * plain_rise for d, r in rise.items()}
    degrades = plain_rise.low() > 0
    leaning, between = Leaning.NEITHER, None
    if not degrades and not long:
        # The margin is a share of D, which is nothing here.
        between = NO_DEGRADATION
    elif over[deeper[-1]].low(WITHIN) > limit:
        leaning = Leaning.AGAINST
    elif (
        all(each.high(WITHIN) <= limit for each in over.values())
        and all(ahead[d].low() > 0 for d in shared[1:])
        and grows.low() > 0
    ):
        leaning = Leaning.FOR
    elif not degrades:
        between = NO_DEGRADATION
    failed = [c.name for c in cells.not_started if c.family == family and c.depth > first]
    deepest = rise[deeper[-1]]
    allowed = MARGIN if long else SHARE * plain_rise.value
    return Outcome(
        leaning=leaning,
        finding=f"residual {option}, from {first} to {deeper[-1]} layers: "
        f"{shown(deepest, WITHIN)}, {allowed:.1f} allowed; plain minus residual grows by "
        f"{shown(grows)} to {shared[-1]} layers",
        effect=deepest.value,
        interval=deepest.bounds(WITHIN),
        n=least_n([*over.values(), *ahead.values(), grows]),
        rests_on=rests_on,
        earlier=deepest.in_first_phase,
        towards=-1,
        unless=[f"{name} did not start" for name in failed] + [NO_DEGRADATION] * (not degrades),
        between=between,
    )


NO_DEGRADATION = "plain networks are not shown to degrade here"

CLAIM = Claim(
    number=4,
    title="Residual networks do not degrade, and gain on plain ones with depth.",
    quantity="R(d), training error of residual networks at depth d minus at the smallest depth d₀, "
    "and g(d), plain minus residual at depth d, in points; D is the rise of plain networks",
    testable="plain and residual networks started at d₀ and at a greater depth",
    supported="at every depth that started the 90 % upper bound of R is at most 0.5 points, or, "
    "with less than half of the paper's training, that of R − 0.1·D at most 0; the 95 % lower "
    "bounds of g(d) beyond d₀ and of its growth are above 0; D is above 0; every residual depth "
    "that was run has started",
    against="at the greatest depth the 90 % lower bound of the same is above that limit",
    paper="Option A, the only one on CIFAR-10, ends at 0.62 % training error at 20 layers, 0.07 % "
    "at 56 and 0.0 % at 110; below plain by 0.7 points at 20 layers and by 5.7 at 56 (Figure 6).",
    experiment="quick",
    at_scale="figure6",
    rule=rule,
    each_option=True,
)

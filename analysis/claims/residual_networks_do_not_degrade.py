"""Residual networks do not degrade, and their lead over plain ones grows with depth.

Quantity: R(d), the training error of residual networks at depth d minus that at the smallest depth
d₀, and g(d), plain minus residual at depth d, in points. D is the rise for plain networks.

Testable: plain and residual networks started at d₀ and at a greater depth.

Supported: at every depth that started the 90 % upper bound of R is at most 0.5 points, or, with
less than half of the paper's training, that of R − 0.1·D is at most 0; the 95 % lower bounds of D,
of g(d) beyond d₀ and of its growth are above 0; every residual depth that was run has started.

Against: at the greatest depth the 90 % lower bound of the same is above that limit; with less than
half of the paper's training, D must be above 0 as well.

Paper: option A, the only one on CIFAR-10, ends at 0.62 % training error at 20 layers, 0.07 % at 56
and 0.0 % at 110; below plain by 0.7 points at 20 layers and by 5.7 at 56 (Figure 6).
"""

from analysis.cells import Cells
from analysis.claims import rules

# Before half of the paper's training, the share of D that a residual network may lose.
SHARE = 0.1


def rule(cells: Cells, option: str) -> rules.Outcome:
    """Compares R at each depth with its limit, and g with g at d₀."""
    family = f"residual-{option}"
    what = f"plain and residual {option} networks at two depths"
    shared = rules.need_started(cells, ["plain", family], 2, what)
    residual = {d: cells[family, d] for d in cells.started(family) if d >= shared[0]}
    plain = {d: cells["plain", d] for d in shared}
    rises = [cell.train - residual[shared[0]].train for cell in residual.values()][1:]
    plain_rise = plain[shared[-1]].train - plain[shared[0]].train
    ahead = [plain[d].train - residual[d].train for d in shared]
    grows = ahead[-1] - ahead[0]
    rests_on = [*plain.values(), *residual.values()]
    long = rules.training_of(rests_on) >= rules.HALF
    limit = rules.MARGIN if long else 0.0
    over = rises if long else [rise - SHARE * plain_rise for rise in rises]
    rules.need_seeds([*over, *ahead, grows])
    degrades = plain_rise.low() > 0
    within = all(rise.high(rules.WITHIN) <= limit for rise in over)
    gains = all(each.low() > 0 for each in (*ahead[1:], grows))
    # Without degradation a share of D is no margin.
    beyond = over[-1].low(rules.WITHIN) > limit and (long or degrades)
    return rules.Outcome(
        rules.leaning(degrades and within and gains, against=beyond),
        f"residual {option}, from {shared[0]} to {max(residual)} layers: "
        f"{rises[-1].words(rules.WITHIN)}, limit {limit or SHARE * plain_rise.value:.1f}; plain "
        f"minus residual changes by {grows} up to {shared[-1]} layers",
        rises[-1],
        rests_on=rests_on,
        confidence=rules.WITHIN,
        n=min(each.n for each in (*over, *ahead, grows, plain_rise)),
        towards=-1,
        unless=rules.did_not_start(cells, family),
        between=["plain networks are not shown to degrade here"] * (not degrades),
    )


CLAIM = rules.Claim(__doc__, 4, rule, each_option=True)

"""At the smallest depth residual and plain networks end close to each other.

Quantity: g(d₀), plain minus residual training error at the smallest depth, compared with g(d*) at
the greatest, in points.

Testable: both started at two depths, and the learning rate has fallen to a tenth.

Supported: the 90 % bounds of g(d₀) are within a quarter of g(d*).

Against: the 90 % lower bounds of g(d₀) − 0.25·g(d*) and of g(d₀) are above 0 and 0.5 points,
respectively, after at least half of the paper's training.

Paper: plain ends 0.7 points of training error above residual A at 20 layers, and 5.7 at 56
(Figure 6).
"""

from analysis.cells import Cells
from analysis.claims import rules

# The share of the gap at the greatest depth that counts as close.
CLOSE = 0.25


def rule(cells: Cells, option: str) -> rules.Outcome:
    """Compares g(d₀) with a quarter of g(d*)."""
    family = f"residual-{option}"
    what = f"plain and residual {option} networks at two depths"
    depths = rules.need_started(cells, ["plain", family], 2, what)
    ends = (depths[0], depths[-1])
    rests_on = [cells[name, depth] for depth in ends for name in ("plain", family)]
    gap, deep = (cells["plain", depth].train - cells[family, depth].train for depth in ends)
    above, below = gap - CLOSE * deep, gap + CLOSE * deep
    rules.need_seeds([above])
    if not all(cell.rate_fell for cell in rests_on):
        raise rules.NotTestable("too short: the learning rate has not fallen to a tenth")
    close = above.high(rules.WITHIN) < 0 and below.low(rules.WITHIN) > 0
    apart = above.low(rules.WITHIN) > 0 and gap.low(rules.WITHIN) > rules.MARGIN
    short = rules.training_of(rests_on) < rules.HALF
    return rules.Outcome(
        rules.leaning(close, against=apart and not short),
        f"plain minus residual {option}: {gap.words(rules.WITHIN)} at {ends[0]} layers, "
        f"limit {CLOSE * deep.value:.1f}, a quarter of {deep.value:+.1f} at {ends[1]}",
        gap,
        rests_on=rests_on,
        confidence=rules.WITHIN,
        n=above.n,
        towards=-1,
        between=[rules.NEEDS_HALF] * (apart and short),
    )


CLAIM = rules.Claim(__doc__, 5, rule, part="b")

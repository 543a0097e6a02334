"""A shortcut over a single layer shows no advantage.

Quantity: training error with one layer per block minus plain at the greatest depth, compared
with the gain (plain minus two layers per block), in points.

Testable: plain networks and residual ones with one and with two layers per block started there.

Supported: the 90 % lower bound of (one − plain) + 0.25·gain is above 0, and so is the gain's 95 %
lower bound.

Against: the 90 % upper bound of the same is below 0, and the gain's lower bound is above 0.

Paper: no advantage was observed, without numbers; a single layer is y = W₁x + x (§3.2).
"""

from analysis.cells import Cells
from analysis.claims import rules

# The share of what a shortcut over two layers gains that one over a single layer may gain.
SHARE = 0.25


def rule(cells: Cells, option: str) -> rules.Outcome:
    """Compares what a shortcut over one layer gains with what one over two does."""
    families = ["plain", f"residual-{option}", f"residual-{option}, span 1"]
    what = f"plain networks and residual {option} ones with one and with two layers per block"
    # If no depth has all three, that is reported before the state of those that were run.
    needed = families[:2] if cells.depths(*families) else families
    depth = rules.need_started(cells, needed, 1, what)[-1]
    rules.need_started(cells.where(lambda cell: cell.depth == depth), families, 1, what)
    plain, two, one = (cells[family, depth].train for family in families)
    gain, change = plain - two, one - plain
    over = change + SHARE * gain
    rules.need_seeds([over])
    gains = gain.low() > 0
    leaning = rules.sign(over, rules.WITHIN) if gains else rules.Leaning.NEITHER
    return rules.Outcome(
        leaning,
        f"at {depth} layers: one layer per block minus plain {change.words(rules.WITHIN)}, "
        f"limit {-SHARE * gain.value:.1f}; two layers minus plain {-gain.value:+.1f}. Here batch "
        "norm and ReLU follow the single layer; the paper's is y = W₁x + x",
        change,
        rests_on=[cells[family, depth] for family in families],
        confidence=rules.WITHIN,
        n=over.n,
        towards=+1,
        between=["two layers per block are not shown to improve on plain here"] * (not gains),
    )


CLAIM = rules.Claim(__doc__, 9, rule, experiment="span", at_scale="span_paper")

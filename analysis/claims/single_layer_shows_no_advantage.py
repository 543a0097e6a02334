"""Claim 9."""

from analysis.cells import Cells
from analysis.claims.rules import WITHIN, Claim, Leaning, Outcome, need_started, need_values, shown

# The share of what a shortcut over two layers gains that one over a single layer may gain.
SHARE = 0.25


def rule(cells: Cells, option: str) -> Outcome:
    """Training error with one layer per block minus plain, beside the gain of two layers."""
    two, one = f"residual-{option}", f"residual-{option}, span 1"
    what = f"plain networks and residual {option} ones with one and with two layers per block"
    depth = need_started(cells, ["plain", two, one], 1, what)[-1]
    plain = cells["plain", depth].train
    gain = plain - cells[two, depth].train
    change = cells[one, depth].train - plain
    over = need_values(change + SHARE * gain, "the same seeds of all")
    leaning, between = Leaning.NEITHER, None
    if gain.low() <= 0:
        between = "two layers per block gain nothing on plain here"
    elif over.low(WITHIN) > 0:
        leaning = Leaning.FOR
    elif over.high(WITHIN) < 0:
        leaning = Leaning.AGAINST
    return Outcome(
        leaning=leaning,
        finding=f"at {depth} layers: one layer per block minus plain {shown(change, WITHIN)}, "
        f"{-SHARE * gain.value:.1f} allowed; two layers minus plain {-gain.value:+.1f}. Here batch "
        "norm and ReLU follow the single layer, where the paper speaks of y = W₁x + x",
        effect=change.value,
        interval=change.bounds(WITHIN),
        n=over.n,
        rests_on=[cells[family, depth] for family in ("plain", two, one)],
        earlier=change.in_first_phase,
        towards=+1,
        between=between,
    )


CLAIM = Claim(
    number=9,
    title="A shortcut over a single layer shows no advantage.",
    quantity="training error with one layer per block minus plain at the greatest depth, beside "
    "the gain, plain minus two layers per block, in points",
    testable="plain networks and residual ones with one and two layers per block started there",
    supported="the 90 % lower bound of (one − plain) + 0.25·gain is above 0",
    against="the 90 % upper bound of the same is below 0",
    paper="No advantage was observed, without numbers; a single layer is y = W₁x + x (§3.2).",
    experiment="span",
    at_scale="span_paper",
    rule=rule,
)

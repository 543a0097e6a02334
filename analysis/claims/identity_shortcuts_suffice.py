"""Claim 6."""

from analysis.cells import Cells
from analysis.claims.rules import (
    WITHIN,
    Claim,
    Leaning,
    NotRun,
    NotTestable,
    Outcome,
    least_n,
    need_values,
    shown,
)

# The share of A's gain over plain by which another option may be ahead, and the paper's depth.
SHARE, DEPTH = 0.25, 34


def rule(cells: Cells, _: str) -> Outcome:
    """A minus each other option, beside what A gains on plain, near 34 layers."""
    others = [option for option in cells.options if option != "A"]
    pairs = [(d, o) for o in others for d in cells.depths("plain", "residual-A", f"residual-{o}")]
    if not pairs:
        raise NotRun("option A and another one, and plain, at one depth")
    started = {o: cells.started("plain", "residual-A", f"residual-{o}") for o in others}
    depths = sorted({depth for found in started.values() for depth in found})
    if not depths:
        raise NotTestable(f"did not start: {', '.join(c.name for c in cells.not_started)}")
    depth = min(depths, key=lambda d: (abs(d - DEPTH), d))
    compared = [o for o in others if depth in started[o]]
    gain = cells["plain", depth].train - cells["residual-A", depth].train
    behind = {o: _behind(cells, o, depth) for o in compared}
    over = [need_values(b - SHARE * gain, "the same seeds of all") for b in behind.values()]
    leaning, between = Leaning.NEITHER, None
    if gain.low() <= 0:
        between = "option A gains nothing on plain here"
    elif any(each.low(1 - (1 - WITHIN) / len(over)) > 0 for each in over):
        leaning = Leaning.AGAINST
    elif all(each.high(WITHIN) < 0 for each in over):
        leaning = Leaning.FOR
    worst = max(behind, key=lambda o: behind[o].value)
    listed = "; ".join(f"A minus {o} {shown(behind[o], WITHIN)}" for o in compared)
    finding = f"at {depth} layers: {listed}; {SHARE * gain.value:.1f} allowed"
    if beside := [o for o in others if 110 in started[o] and depth != 110]:
        finding += "; at 110 layers: " + "; ".join(
            f"A minus {o} {shown(_behind(cells, o, 110), WITHIN)}" for o in beside
        )
    families = ["plain", "residual-A", *(f"residual-{o}" for o in compared)]
    return Outcome(
        leaning=leaning,
        finding=finding,
        effect=behind[worst].value,
        interval=behind[worst].bounds(WITHIN),
        n=least_n(over),
        rests_on=[cells[family, depth] for family in families],
        earlier=behind[worst].in_first_phase,
        towards=-1,
        between=between,
    )


def _behind(cells: Cells, option: str, depth: int):
    return cells["residual-A", depth].train - cells[f"residual-{option}", depth].train


CLAIM = Claim(
    number=6,
    title="Identity shortcuts suffice: projections gain little on option A.",
    quantity="training error of option A minus that of each other option, beside plain minus A, "
    "at the depth nearest to 34, in points",
    testable="plain, A and at least one of B and C started at that depth",
    supported="for each other option the 90 % upper bound of (A − option) − 0.25·(plain − A) is "
    "below 0",
    against="a 90 % lower bound of the same is above 0, by Bonferroni over options",
    paper="ImageNet, 34 layers, top-1 error: plain 28.54 %, A 25.03, B 24.52, C 24.19 (Tables 2 "
    "and 3).",
    experiment="options",
    at_scale="options_paper",
    rule=rule,
)

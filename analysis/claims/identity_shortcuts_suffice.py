"""Identity shortcuts suffice: projections gain little over option A.

Quantity: training error of option A minus that of each other option, compared with plain minus A,
at the depth nearest to 34, in points.

Testable: plain, A and at least one of B and C started at that depth and share a seed.

Supported: for each other option the 90 % upper bound of (A − option) − 0.25·(plain − A) is below 0,
and A is shown to improve on plain.

Against: a 90 % lower bound of the same is above 0, with Bonferroni's correction over options, and A
is shown to improve on plain.

Paper: ImageNet, 34 layers, top-1 error: plain 28.54 %, A 25.03, B 24.52, C 24.19 (Tables 2 and 3).
"""

from analysis.cells import Cells
from analysis.claims import rules
from analysis.quantity import Quantity

# The share of A's gain over plain by which another option may be ahead, the paper's depth, and
# one that is reported as well.
SHARE, DEPTH, DEEP = 0.25, 34, 110


def rule(cells: Cells, _: str) -> rules.Outcome:
    """Compares A minus each other option with a quarter of A's gain over plain."""
    needed = {o: ("plain", "residual-A", f"residual-{o}") for o in cells.options if o != "A"}
    if not any(cells.depths(*families) for families in needed.values()):
        raise rules.NotRun("plain, option A and another option at the same depth")
    started = {option: cells.started(*families) for option, families in needed.items()}
    depths = sorted({depth for found in started.values() for depth in found})
    if not depths:
        raise rules.NotTestable("; ".join(rules.did_not_start(cells)))
    depth = min(depths, key=lambda d: abs(d - DEPTH))
    behind = {o: _behind(cells, o, depth) for o, found in started.items() if depth in found}
    gain = cells["plain", depth].train - cells["residual-A", depth].train
    over = {option: each - SHARE * gain for option, each in behind.items()}
    # An option whose seeds are all others than A's is left out.
    over = {option: each for option, each in over.items() if each.n} or over
    rules.need_seeds([*over.values()])
    gains = gain.low() > 0
    corrected = rules.bonferroni(len(over))
    worst = max(over, key=lambda option: over[option].low(corrected))
    within = all(each.high(rules.WITHIN) < 0 for each in over.values())
    beyond = over[worst].low(corrected) > 0
    listed = [
        f"A minus {option} {each.words(rules.WITHIN)} at {at} layers"
        for at in {depth: 0, DEEP: 0}
        for option in needed
        if at in cells.started("residual-A", f"residual-{option}")
        if (each := _behind(cells, option, at)).n
    ]
    return rules.Outcome(
        rules.leaning(gains and within, against=gains and beyond),
        f"{'; '.join(listed)}; limit {SHARE * gain.value:.1f}, a quarter of A's gain over plain",
        behind[worst],
        rests_on=[cells[f, depth] for f in sorted({f for o in over for f in needed[o]})],
        confidence=rules.WITHIN,
        n=min(each.n for each in over.values()),
        towards=-1,
        between=["option A is not shown to improve on plain here"] * (not gains),
    )


def _behind(cells: Cells, option: str, depth: int) -> Quantity:
    return cells["residual-A", depth].train - cells[f"residual-{option}", depth].train


CLAIM = rules.Claim(__doc__, 6, rule, experiment="options", at_scale="options_paper")

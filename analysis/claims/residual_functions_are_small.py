"""Claim 8."""

import math

from analysis.cells import Cell, Cells
from analysis.claims.rules import (
    HALF,
    Claim,
    Leaning,
    NotRun,
    NotTestable,
    Outcome,
    least_n,
    need_training,
    need_values,
)
from analysis.quantity import Quantity

# With one seed, the logarithm of a ratio must be this far from 0: about a tenth.
ONE_SEED = 0.1


def rule(cells: Cells, option: str) -> Outcome:
    """Log ratios of mean responses: residual to plain, and deep to shallow residual."""
    family = f"residual-{option}"
    measured = {key: cell for key, cell in cells.cells.items() if cell.response}
    shared = [d for d in cells.depths("plain", family) if {("plain", d), (family, d)} <= {*measured}]
    residual = [d for d in cells.depths(family) if (family, d) in measured]
    if not shared or len(residual) < 2:
        raise NotRun(f"probes of responses in plain and residual {option} networks at two depths")
    shared = [d for d in shared if d in cells.started("plain", family)]
    residual = [d for d in residual if d in cells.started(family)]
    if not shared or len(residual) < 2:
        failed = [c.name for c in cells.not_started if c.family in ("plain", family)]
        raise NotTestable(f"did not start: {', '.join(failed)}")
    rests_on = [cells["plain", d] for d in shared] + [cells[family, d] for d in residual]
    need_training(rests_on, HALF, "a half is needed")
    ratios = {
        f"{d} layers": _log(cells[family, d]) - _log(cells["plain", d]) for d in shared
    } | {
        f"residual of {residual[-1]} to {residual[0]} layers": _log(cells[family, residual[-1]])
        - _log(cells[family, residual[0]])
    }
    for each in ratios.values():
        need_values(each, "the same seeds of all")
    # Holm: some ratio is above 1 if the clearest one is by Bonferroni's bound.
    each_at = 1 - 0.05 / len(ratios)
    if all(_bounds(ratio, 0.95)[1] < 0 for ratio in ratios.values()):
        leaning = Leaning.FOR
    elif any(_bounds(ratio, each_at)[0] > 0 for ratio in ratios.values()):
        leaning = Leaning.AGAINST
    else:
        leaning = Leaning.NEITHER
    worst = max(ratios.values(), key=lambda ratio: ratio.value)
    listed = ", ".join(f"{math.exp(ratio.value):.2f} at {name}" for name, ratio in ratios.items())
    low, high = _bounds(worst, 0.95)
    return Outcome(
        leaning=leaning,
        finding=f"responses of residual {option} divided by plain: {listed}",
        effect=math.exp(worst.value),
        interval=(math.exp(low), math.exp(high)),
        n=least_n(list(ratios.values())),
        rests_on=rests_on,
        unit="ratio of responses, the largest",
    )


def _log(cell: Cell) -> Quantity:
    return cell.quantity("log of response", {s: math.log(v) for s, v in cell.response.items()})


def _bounds(ratio: Quantity, confidence: float) -> tuple[float, float]:
    if ratio.n == 1:
        return ratio.value - ONE_SEED, ratio.value + ONE_SEED
    return ratio.bounds(confidence)


CLAIM = Claim(
    number=8,
    title="Residual functions are small.",
    quantity="mean over layers of the responses' standard deviation: residual divided by plain at "
    "each depth, and the deepest residual network divided by the shallowest",
    testable="the networks started, after at least half of the paper's training",
    supported="the 95 % upper bound of the logarithm of each ratio is below 0; with one seed, each "
    "is below −0.1",
    against="a lower bound is above 0, by Holm over ratios",
    paper="Plain 1.82 and 1.52 at 20 and 56 layers; residual A 1.62, 1.13 and 0.99 at 20, 56 and "
    "110 (Figure 7).",
    experiment="responses_paper",
    at_scale="responses_paper",
    rule=rule,
)

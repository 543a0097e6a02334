"""Claim 5a."""

import math

import numpy as np

from analysis.cells import LEVELS, Cell, Cells
from analysis.claims.rules import Claim, Leaning, NotTestable, Outcome, need_started, need_values
from analysis.quantity import Quantity

# With one seed, the mean logarithm of the ratio must be this far from 0: about a quarter.
ONE_SEED = 0.25


def rule(cells: Cells, option: str) -> Outcome:
    """Mean log ratio of the iterations that residual and plain networks need."""
    family = f"residual-{option}"
    what = f"plain and residual {option} networks of the same depth"
    depth = need_started(cells, ["plain", family], 1, what)[0]
    residual, plain = cells[family, depth], cells["plain", depth]
    levels = [level for level in LEVELS if _by_all(residual, level) and _by_all(plain, level)]
    if len(levels) < 2:
        known = ", ".join(map(str, LEVELS))
        raise NotTestable(
            f"too short: fewer than two of {known} % are reached by all seeds of both"
        )
    each = [_log_iterations(residual, [at]) - _log_iterations(plain, [at]) for at in levels]
    ratio = _log_iterations(residual, levels) - _log_iterations(plain, levels)
    need_values(ratio, f"{residual.name} and plain with the same seed")
    if ratio.n > 1:
        low, high = ratio.bounds()
    else:
        low, high = ratio.value - ONE_SEED, ratio.value + ONE_SEED
    # With one seed, each level must say the same.
    lower = high <= 0 and (ratio.n > 1 or all(one.value < 0 for one in each))
    higher = low >= 0 and (ratio.n > 1 or all(one.value > 0 for one in each))
    shares = ", ".join(
        f"{level} % after {math.exp(one.value):.2f}" for level, one in zip(levels, each, strict=True)
    )
    return Outcome(
        leaning=Leaning.FOR if lower else Leaning.AGAINST if higher else Leaning.NEITHER,
        finding=f"{residual.name} reaches {shares} times the iterations that plain needs, on "
        f"average {math.exp(ratio.value):.2f} [{math.exp(low):.2f}, {math.exp(high):.2f}]",
        effect=math.exp(ratio.value),
        interval=(math.exp(low), math.exp(high)),
        n=ratio.n,
        rests_on=[residual, plain],
        unit="times the plain network's iterations",
    )


def _by_all(cell: Cell, level: int) -> bool:
    return len(cell.reached.get(level, {})) == len(cell.runs)


def _log_iterations(cell: Cell, levels: list[int]) -> Quantity:
    """By seed, the mean over levels of the logarithm of the iterations until each."""
    seeds = cell.reached[levels[0]]
    logs = {s: float(np.mean([np.log(cell.reached[at][s]) for at in levels])) for s in seeds}
    return cell.quantity(f"log of iterations to {levels}", logs)


CLAIM = Claim(
    number=5,
    part="a",
    title="At the smallest depth the residual network is ahead while it trains.",
    quantity="iterations that the residual network needs until a training error of 50, 30, 20, 15 "
    "and 10 %, divided by those of the plain one; the mean logarithm over levels",
    testable="both started, and all seeds of both reach at least two of these errors",
    supported="the 95 % interval of the mean logarithm lies below 0; with one seed, each logarithm is "
    "below 0 and their mean at most −0.25",
    against="the opposite",
    paper="At 20 layers, 20, 15 and 10 % training error after 0.67, 0.57 and 0.51 times plain's "
    "iterations (Figure 6).",
    experiment="quick",
    at_scale="figure6",
    rule=rule,
)

"""At the smallest depth the residual network is ahead while it trains.

Quantity: iterations that the residual network needs to reach a training error of 50, 30, 20, 15 and
10 %, divided by those that the plain one needs; the mean logarithm over these errors.

Testable: both started, and all seeds of both reach at least two of these errors.

Supported: the 95 % interval of the mean logarithm lies below 0; with one seed, each logarithm is
below 0 and their mean at most −0.25.

Against: the opposite.

Paper: at 20 layers, 20, 15 and 10 % training error after 0.67, 0.57 and 0.51 times as many
iterations as plain (Figure 6).
"""

import math

import numpy as np

from analysis.cells import LEVELS, Cell, Cells
from analysis.claims import rules
from analysis.quantity import Quantity

# With one seed, the mean logarithm must be this far from 0.
ONE_SEED = 0.25


def rule(cells: Cells, option: str) -> rules.Outcome:
    """Compares how many iterations both need to reach the same training errors."""
    what = f"plain and residual {option} networks of the same depth"
    pair = ["plain", f"residual-{option}"]
    depth = rules.need_started(cells, pair, 1, what)[0]
    plain, residual = (cells[family, depth] for family in pair)
    levels = [
        level
        for level in LEVELS
        if all(len(cell.reached.get(level, {})) == len(cell.runs) for cell in (plain, residual))
    ]
    if len(levels) < 2:
        known = ", ".join(map(str, LEVELS))
        raise rules.NotTestable(f"too short: fewer than two of {known} % are reached by all seeds")
    each = {level: _log(residual, [level]) - _log(plain, [level]) for level in levels}
    ratio = _log(residual, levels) - _log(plain, levels)
    rules.need_seeds([ratio])
    leaning = rules.sign(-1.0 * ratio)
    # With one seed, each level must say the same.
    if ratio.n == 1 and len({np.sign(one.value) for one in each.values()}) > 1:
        leaning = rules.Leaning.NEITHER
    shares = ", ".join(f"{at} % after {math.exp(one.value):.2f}" for at, one in each.items())
    low, high = np.exp(ratio.bounds())
    return rules.Outcome(
        leaning,
        f"{residual.name} reaches {shares} times as many iterations as plain; on average "
        f"{math.exp(ratio.value):.2f} [{low:.2f}, {high:.2f}]",
        ratio,
        rests_on=[residual, plain],
        unit="natural logarithm of the ratio of iterations",
    )


def _log(cell: Cell, levels: list[int]) -> Quantity:
    """By seed, the mean over levels of the logarithm of the iterations until each."""
    logs = {
        seed: float(np.mean([math.log(cell.reached[level][seed]) for level in levels]))
        for seed in cell.reached[levels[0]]
    }
    return cell.quantity(f"iterations to {levels}", logs, spread=rules.one_seed(ONE_SEED))


CLAIM = rules.Claim(__doc__, 5, rule, part="a")

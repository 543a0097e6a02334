"""Residual functions are small.

Quantity: the responses' standard deviation, averaged over layers, in natural logarithms of two
ratios: residual to plain at each depth, and the deepest residual network to the shallowest.

Testable: the networks started, and have at least half of the paper's training.

Supported: the 95 % upper bound of each logarithm is below 0; with one seed, each is below −0.1.

Against: a lower bound is above 0, with Holm's correction over ratios.

Paper: plain 1.82 and 1.52 at 20 and 56 layers; residual A 1.62, 1.13 and 0.99 at 20, 56 and 110
(Figure 7).
"""

import math

from analysis.cells import Cell, Cells
from analysis.claims import rules
from analysis.quantity import Quantity

# With one seed, a logarithm must be this far from 0.
ONE_SEED = 0.1


def rule(cells: Cells, option: str) -> rules.Outcome:
    """Compares responses of residual with plain, and deep with shallow networks."""
    family = f"residual-{option}"
    probed = cells.where(lambda cell: cell.response)
    what = f"probes of responses in plain and residual {option} networks at two depths"
    shared = rules.need_started(probed, ["plain", family], 1, what)
    depths = rules.need_started(probed, [family], 2, what)
    rests_on = [cells["plain", d] for d in shared] + [cells[family, d] for d in depths]
    residual = {depth: _log(cells[family, depth]) for depth in depths}
    ratios = {
        f"residual to plain at {d} layers": residual[d] - _log(cells["plain", d]) for d in shared
    }
    shallow, deep = depths[0], depths[-1]
    ratios[f"residual at {deep} to {shallow} layers"] = residual[deep] - residual[shallow]
    rules.need_seeds([*ratios.values()])
    rules.need_half(rests_on)
    small = all(ratio.high() < 0 for ratio in ratios.values())
    # By Holm some ratio is above 1 if the clearest one is by Bonferroni.
    large = any(ratio.low(1 - 0.05 / len(ratios)) > 0 for ratio in ratios.values())
    listed = ", ".join(f"{name} {math.exp(ratio.value):.2f}" for name, ratio in ratios.items())
    return rules.Outcome(
        rules.leaning(small, against=large),
        f"ratios of responses, option {option}: {listed}",
        max(ratios.values(), key=lambda ratio: ratio.value),
        rests_on=rests_on,
        n=min(ratio.n for ratio in ratios.values()),
        unit="natural logarithm of the largest ratio",
    )


def _log(cell: Cell) -> Quantity:
    logs = {seed: math.log(value) for seed, value in cell.response.items()}
    return cell.quantity("response", logs, spread=rules.one_seed(ONE_SEED))


CLAIM = rules.Claim(__doc__, 8, rule, experiment="responses_paper", at_scale="responses_paper")

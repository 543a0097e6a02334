"""Plain networks degrade: more depth, higher training error.

Quantity: D, the training error of plain networks at the greatest depth that started minus that at
the smallest, in points.

Testable: plain networks started at two depths.

Supported: the 95 % lower bound of D is above 0, and for no two neighbouring depths is the upper
bound of the change below −0.5 points.

Against: D is equivalent to 0 within 0.5 points (90 % interval) after at least half of the paper's
training, or its upper bound is below 0. A plain depth that did not start blocks “contradicted”.

Paper: training error 1.3 % at 20 layers and 5.7 % at 56; above 60 % at 110 (Figure 6).
"""

from itertools import pairwise

from analysis.cells import Cells
from analysis.claims import rules


def rule(cells: Cells, _: str) -> rules.Outcome:
    """Compares the deepest plain network that started with the shallowest."""
    depths = rules.need_started(cells, ["plain"], 2, "plain networks at two depths")
    plain = [cells["plain", depth] for depth in depths]
    change = plain[-1].train - plain[0].train
    rules.need_seeds([change])
    short = rules.training_of([plain[0], plain[-1]]) < rules.HALF
    equivalent = rules.equivalent(change)
    leaning = rules.Leaning.AGAINST if equivalent and not short else rules.sign(change)
    return rules.Outcome(
        leaning,
        f"plain networks, from {depths[0]} to {depths[-1]} layers: {change} "
        f"({plain[0].train.value:.1f} to {plain[-1].train.value:.1f} %)",
        change,
        rests_on=[plain[0], plain[-1]],
        towards=+1,
        unless=[
            f"training error changes by {step} from {shallow.depth} to {deep.depth} layers"
            for shallow, deep in pairwise(plain)
            if (step := deep.train - shallow.train).n and step.high() < -rules.MARGIN
        ],
        between=[rules.NEEDS_HALF] * (equivalent and short),
        against_unless=rules.did_not_start(cells, "plain"),
    )


CLAIM = rules.Claim(__doc__, 1, rule)

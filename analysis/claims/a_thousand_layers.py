"""Networks of 1202 layers train, but test worse than those of 110.

Quantity: training and test error at 1202 layers minus those at 110, in points.

Testable: both started, and have at least half of the paper's training.

Supported: the 90 % upper bound of the training error's difference is at most 0.5 points, and the
95 % lower bound of the test error's is above 0.

Against: either is reversed, with Bonferroni's correction over the two.

Paper: training error below 0.1 %, test error 7.93 %; 110 layers have 6.43 % at best and 6.61 % on
average (Table 6).
"""

from analysis.cells import Cells
from analysis.claims import rules

USUAL, DEEP = 110, 1202


def rule(cells: Cells, option: str) -> rules.Outcome:
    """Compares training and test error at 1202 layers with those at 110."""
    family = f"residual-{option}"
    what = f"residual {option} networks of {USUAL} and of {DEEP} layers"
    of_two = cells.where(lambda cell: cell.depth in (USUAL, DEEP))
    rests_on = [cells[family, depth] for depth in rules.need_started(of_two, [family], 2, what)]
    usual, deep = rests_on
    train, test = deep.train - usual.train, deep.test - usual.test
    rules.need_seeds([train, test])
    rules.need_half(rests_on)
    each_at = rules.bonferroni(2)
    worse = train.low(each_at) > rules.MARGIN
    grows = train.high(rules.WITHIN) <= rules.MARGIN and test.low() > 0
    return rules.Outcome(
        rules.leaning(grows, against=worse or test.high(each_at) < 0),
        f"residual {option}, {DEEP} minus {USUAL} layers: training error "
        f"{train.words(rules.WITHIN)}, test error {test}",
        train if worse else test,
        rests_on=rests_on,
        n=min(train.n, test.n),
        towards=-1 if worse else +1,
    )


CLAIM = rules.Claim(__doc__, 10, rule, experiment="thousand_paper", at_scale="thousand_paper")

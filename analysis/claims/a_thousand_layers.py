"""Claim 10."""

from analysis.cells import Cells
from analysis.claims.rules import (
    HALF,
    MARGIN,
    WITHIN,
    Claim,
    Leaning,
    NotRun,
    NotTestable,
    Outcome,
    least_n,
    need_training,
    need_values,
    shown,
)

USUAL, DEEP = 110, 1202


def rule(cells: Cells, option: str) -> Outcome:
    """Training and test error at 1202 layers minus at 110."""
    family = f"residual-{option}"
    if not {USUAL, DEEP} <= set(cells.depths(family)):
        raise NotRun(f"residual {option} networks of {USUAL} and of {DEEP} layers")
    rests_on = [cells[family, depth] for depth in (USUAL, DEEP)]
    if failed := [cell.name for cell in rests_on if not cell.started]:
        raise NotTestable(f"did not start: {', '.join(failed)}")
    need_training(rests_on, HALF, "a half is needed")
    usual, deep = rests_on
    train = need_values(deep.train - usual.train, "the same seeds of both")
    test = need_values(deep.test - usual.test, "evaluations on the test set")
    each_at = 1 - (1 - WITHIN) / 2
    leaning, towards, decisive = Leaning.NEITHER, +1, test
    if train.low(each_at) > MARGIN:
        leaning, towards, decisive = Leaning.AGAINST, -1, train
    elif test.high(each_at) < 0:
        leaning = Leaning.AGAINST
    elif train.high(WITHIN) <= MARGIN and test.low() > 0:
        leaning = Leaning.FOR
    return Outcome(
        leaning=leaning,
        finding=f"residual {option}, {DEEP} minus {USUAL} layers: training error "
        f"{shown(train, WITHIN)}, test error {shown(test)}",
        effect=decisive.value,
        interval=decisive.bounds(),
        n=least_n([train, test]),
        rests_on=rests_on,
        earlier=decisive.in_first_phase,
        towards=towards,
    )


CLAIM = Claim(
    number=10,
    title="1202 layers train, but test worse than 110.",
    quantity="training and test error at 1202 layers minus at 110, in points",
    testable="both started, after at least half of the paper's training",
    supported="the 90 % upper bound of the training error's difference is at most 0.5 points, and "
    "the 95 % lower bound of the test error's is above 0",
    against="either is reversed, by Bonferroni over the two",
    paper="Training error below 0.1 %, test error 7.93 %, where 110 layers have 6.43 at best and "
    "6.61 on average (Table 6).",
    experiment="thousand_paper",
    at_scale="thousand_paper",
    rule=rule,
)

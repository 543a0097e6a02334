"""Claim 5b turns on the gap at the smallest depth beside that at the greatest."""

import pytest

from analysis.claims.close_at_the_smallest_depth import CLAIM
from tests.analysis.made import cell, verdict_of


def study(*shallow, training=1.0, **fields):
    return [
        cell("plain", 20, *shallow, training=training, **fields),
        cell("plain", 56, 5.7, 5.9, 5.6),
        cell("residual-A", 20, 0.6, 0.7, 0.5),
        cell("residual-A", 56, 0.1, 0.1, 0),
    ]


@pytest.mark.parametrize(
    ("cells", "statement"),
    [
        (study(1.3, 1.4, 1.2), "supported"),
        (study(3.3, 3.4, 3.2), "contradicted"),
        (study(3.3, 3.4, 3.2, training=0.4), "undecided: less than half of the paper's training"),
        (study(2.0, 2.2, 1.9), "undecided: the interval spans the margin"),
        # Close means close on both sides.
        (study(-3.3, -3.4, -3.2), "undecided: the interval spans the margin"),
        (study(1.3, 1.4, 1.2, rate_fell=False),
         "not testable: too short: the learning rate has not fallen to a tenth"),
        (study(1.3)[:1], "not testable: not run: plain and residual A networks at two depths"),
    ],
)  # fmt: skip
def test_verdict(cells, statement):
    assert verdict_of(CLAIM, *cells).statement == statement

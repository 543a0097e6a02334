"""Claim 10 turns on training and test error at 1202 layers beside 110."""

import pytest

from analysis.claims.a_thousand_layers import CLAIM
from tests.analysis.made import at_chance, cell, verdict_of

USUAL = cell("residual-A", 110, 0.0, 0.1, 0.0, test=[6.4, 6.6, 6.7])


def deep(train, test, **fields):
    return [USUAL, cell("residual-A", 1202, *train, test=test, **fields)]


@pytest.mark.parametrize(
    ("cells", "statement"),
    [
        (deep([0.1, 0.1, 0.05], [7.9, 8.1, 7.8]), "supported"),
        (deep([3, 3.1, 2.9], [7.9, 8.1, 7.8]), "contradicted"),
        (deep([0.1, 0.1, 0.05], [4.9, 5.1, 4.8]), "contradicted"),
        (deep([0.1, 0.1, 0.05], [6.9, 6.1, 6.8]), "undecided: the interval spans the margin"),
        (deep([0.1, 0.1, 0.05], [7.9, 8.1, 7.8], training=0.4),
         "not testable: too short: 40 % of the paper's training, a half is needed"),
        # Whether it started is asked before whether it was long enough.
        ([USUAL, at_chance("residual-A", 1202)],
         "not testable: did not start: residual A at 1202 layers"),
        ([USUAL], "not testable: not run: residual A networks of 110 and of 1202 layers"),
    ],
)  # fmt: skip
def test_verdict(cells, statement):
    assert verdict_of(CLAIM, *cells).statement == statement

"""Claim 2 turns on training and test error, and on the gap between them."""

import pytest

from analysis.claims.not_overfitting import CLAIM
from tests.analysis.made import cell, verdict_of

SHALLOW = cell("plain", 20, 1.3, 1.4, 1.2, test=[9.7, 9.6, 9.9])


def deep(train, test):
    return [SHALLOW, cell("plain", 56, *train, test=test)]


@pytest.mark.parametrize(
    ("cells", "statement"),
    [
        (deep([5.7, 5.9, 5.6], [13.2, 13.4, 13.1]), "supported"),
        # Training error as before, test error up: that is over-fitting.
        (deep([1.3, 1.5, 1.2], [13.2, 13.4, 13.1]), "contradicted"),
        # Both rise, but most of the test error's rise is a wider gap.
        (deep([2.3, 2.4, 2.2], [13.2, 13.4, 13.1]), "undecided: the interval spans the margin"),
        (deep([0.3, 0.2, 0.3], [8.2, 8.4, 8.1]), "undecided: the interval spans the margin"),
        ([SHALLOW], "not testable: not run: plain networks at two depths"),
    ],
)
def test_verdict(cells, statement):
    assert verdict_of(CLAIM, *cells).statement == statement

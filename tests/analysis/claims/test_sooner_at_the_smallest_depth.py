"""Claim 5a turns on the iterations until the same training errors."""

import pytest

from analysis.claims.sooner_at_the_smallest_depth import CLAIM
from tests.analysis.made import cell, verdict_of


def study(*ratios, seeds=3, plain=100.0):
    """Iterations to 50, 30, … % of the residual network, as shares of plain's."""
    levels = dict(zip((50, 30, 20, 15, 10), ratios, strict=False))
    errors = range(seeds)
    iterations = {at: {s: plain * r * (1 + s / 100) for s in errors} for at, r in levels.items()}
    reached = {at: dict.fromkeys(errors, plain) for at in levels}
    return [
        cell("plain", 20, *errors, reached=reached),
        cell("residual-A", 20, *errors, reached=iterations),
    ]


TOO_FEW = "not testable: too short: fewer than two of 50, 30, 20, 15, 10 % are reached by all seeds"


@pytest.mark.parametrize(
    ("cells", "statement"),
    [
        (study(0.67, 0.57, 0.51), "supported"),
        (study(1.5, 1.6), "contradicted"),
        (study(1.2, 0.8), "undecided: the interval spans the margin"),
        (study(0.5), TOO_FEW),
        # With one seed every level, and a quarter on average.
        (study(0.7, 0.8, seeds=1), "supported"),
        (study(0.8, 0.85, seeds=1), "undecided: one seed"),
        (study(0.5, 1.1, seeds=1), "undecided: one seed"),
        (study(1.5, 1.6, seeds=1), "undecided (the runs speak against it): one seed"),
        ([cell("plain", 20, 1)],
         "not testable: not run: plain and residual A networks of the same depth"),
    ],
)  # fmt: skip
def test_verdict(cells, statement):
    assert verdict_of(CLAIM, *cells).statement == statement


def test_a_level_counts_if_all_seeds_reach_it():
    plain, residual = study(0.67, 0.57, 0.51)
    del residual.reached[20][2]
    found = verdict_of(CLAIM, plain, residual).outcome.finding
    assert found.startswith(
        "residual A at 20 layers reaches 50 % after 0.68, 30 % after 0.58 times"
    )

"""Claim 9 turns on what a shortcut over one layer gains, beside one over two."""

import pytest

from analysis.claims.single_layer_shows_no_advantage import CLAIM
from tests.analysis.made import at_chance, cell, verdict_of


def study(*single, depth=56, two=(0.1, 0.2, 0.1), **fields):
    return [
        cell("plain", depth, 5.7, 5.9, 5.6),
        cell("residual-A", depth, *two),
        cell("residual-A, span 1", depth, *single, **fields),
    ]


@pytest.mark.parametrize(
    ("cells", "statement"),
    [
        (study(5.6, 5.9, 5.5), "supported"),
        (study(1.0, 1.2, 0.9), "contradicted"),
        (study(4.0, 4.6, 4.2), "undecided: the interval spans the margin"),
        (study(1.0, 1.2, 0.9, training=0.009),
         "undecided (the runs speak against it): 0.9 % of the paper's training, a quarter is"),
        # Where two layers gain nothing, one layer has nothing to fall short of.
        (study(5.6, 5.9, 5.5, two=[5.7, 5.9, 5.7]),
         "undecided: two layers per block are not shown to improve on plain here"),
        # The greatest depth at which all have started.
        ([*study(5.6, 5.9, 5.5), *study(1, 1, 1, depth=20)], "supported"),
        ([*study(5.6, 5.9, 5.5), at_chance("plain", 110)], "supported"),
        # Where a single layer was not tried, or did not start, a shallower depth is no substitute.
        ([*study(5.6, 5.9, 5.5, depth=20), *study(5)[:2]], "not testable: not run: plain networks"),
        ([*study(5.6, 5.9, 5.5, depth=20), *study(5)[:2], at_chance("residual-A, span 1", 56)],
         "not testable: did not start: residual A, span 1 at 56 layers"),
        (study(5)[:2], "not testable: not run: plain networks and residual A ones with one"),
    ],
)  # fmt: skip
def test_verdict(cells, statement):
    found = verdict_of(CLAIM, *cells)
    assert found.statement.startswith(statement)
    # Our single layer is not the paper's, and each finding says so.
    assert found.outcome is None or "y = W₁x + x" in found.outcome.finding

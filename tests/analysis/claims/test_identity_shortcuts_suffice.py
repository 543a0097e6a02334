"""Claim 6 turns on what projections gain over option A, near 34 layers."""

import pytest

from analysis.claims.identity_shortcuts_suffice import CLAIM
from tests.analysis.made import at_chance, cell, verdict_of


def study(*options, depth=32, plain=(9.0, 9.1, 9.2)):
    """Plain, A at 5 %, and further options, each as many points below A."""
    others = [
        cell(f"residual-{name}", depth, *[5 - below + 0.1 * seed for seed in (0, 2, 1)])
        for name, below in zip("BC", options, strict=False)
    ]
    return [cell("plain", depth, *plain), cell("residual-A", depth, 5, 5.1, 5.2), *others]


@pytest.mark.parametrize(
    ("cells", "statement"),
    [
        (study(0.5, 0.7), "supported"),
        (study(0.5, 3.0), "contradicted"),
        (study(0.5, 1.0), "undecided: the interval spans the margin"),
        (study(0.5, plain=[5, 5.1, 5.2]),
         "undecided: option A is not shown to improve on plain here"),
        # B is behind by more, C by more than its interval: with the correction, C alone decides.
        ([cell("plain", 32, 9, 9, 9), cell("residual-A", 32, 5, 5, 5),
          cell("residual-B", 32, 1, 2, 3), cell("residual-C", 32, 3.68, 3.70, 3.72)],
         "contradicted"),
        # B has no seed that A has; C decides.
        ([*study(), cell("residual-B", 32, final={"train_error": {7: 1.0}}),
          study(0.5, 0.5)[3]], "supported"),
        # The depth nearest to 34 counts, where all needed have started.
        ([*study(3, depth=20), *study(0.5), *study(3, depth=44)], "supported"),
        ([*study(0.5, depth=20), *study(), at_chance("residual-B", 32)], "supported"),
        (study(), "not testable: not run: plain, option A and another option at the same depth"),
        ([*study(), at_chance("residual-B", 32)],
         "not testable: did not start: residual B at 32 layers"),
    ],
)  # fmt: skip
def test_verdict(cells, statement):
    assert verdict_of(CLAIM, *cells).statement == statement


def test_depth_110_is_reported_beside_it():
    _, *options = study(4, depth=110)
    found = verdict_of(CLAIM, *study(0.5), at_chance("plain", 110), *options).outcome
    assert "A minus B +4.0 points [+3.8, +4.2] at 110 layers" in found.finding
    assert {cell.depth for cell in found.rests_on} == {32}

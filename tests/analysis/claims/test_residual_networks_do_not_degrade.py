"""Claim 4 turns on R at each depth and on the lead of residual networks over plain ones."""

import pytest

from analysis.claims.residual_networks_do_not_degrade import CLAIM
from tests.analysis.made import at_chance, cell, verdict_of

A = "residual-A"


def study(deep, *more, training=1.0, plain=(5.7, 5.9, 5.6)):
    return [
        cell("plain", 20, 1.3, 1.4, 1.2, training=training),
        cell("plain", 56, *plain, training=training),
        cell(A, 20, 0.6, 0.7, 0.5, training=training),
        cell(A, 56, *deep, training=training),
        *more,
    ]


@pytest.mark.parametrize(
    ("cells", "statement"),
    [
        (study([0.1, 0.1, 0]), "supported"),
        # Half a point is allowed; with less training, a tenth of what plain networks lose.
        (study([0.9, 1.0, 0.8]), "supported"),
        (study([1.6, 1.7, 1.5]), "contradicted"),
        (study([0.9, 1.0, 0.8], training=0.4), "supported"),
        (study([1.3, 1.4, 1.2], training=0.4), "contradicted"),
        (study([1.3, 1.4, 1.2], training=0.2), "undecided (the runs speak against it): "
         "20 % of the paper's training, a quarter is needed"),
        (study([1.0, 1.5, 0.8]), "undecided: the interval spans the margin"),
        # A rise in between counts, and so does a depth that did not start.
        (study([0.1, 0.1, 0], cell(A, 44, 3, 3.1, 3.2)),
         "undecided: the interval spans the margin"),
        (study([0.1, 0.1, 0], at_chance(A, 110)),
         "undecided: did not start: residual A at 110 layers"),
        # Beyond the deepest plain network R alone is judged.
        (study([0.1, 0.1, 0], at_chance("plain", 110), cell(A, 110, 0, 0, 0.1)), "supported"),
        (study([0.1, 0.1, 0], plain=[1.3, 1.5, 1.2]),
         "undecided: plain networks are not shown to degrade here"),
        # Where plain networks improve, a tenth of D is no margin.
        (study([0.1, 0.1, 0], plain=[0.2, 0.3, 0.1], training=0.3),
         "undecided: plain networks are not shown to degrade here"),
        ([cell("plain", 20, 1), cell(A, 20, 1)],
         "not testable: not run: plain and residual A networks at two depths"),
    ],
)  # fmt: skip
def test_verdict(cells, statement):
    assert verdict_of(CLAIM, *cells).statement == statement


def test_each_option_that_was_run_has_a_verdict():
    worse = [cell("residual-B", 20, 0.6, 0.7, 0.5), cell("residual-B", 56, 1.6, 1.7, 1.5)]
    found = [verdict_of(CLAIM, *study([0.1, 0.1, 0], *worse), option=place) for place in (0, 1)]
    assert [(v.label, v.statement) for v in found] == [
        ("4-A", "supported"),
        ("4-B", "contradicted"),
    ]


@pytest.mark.parametrize(
    ("option", "command"), [("A", "experiment=figure6 "), ("C", "experiment=options_paper ")]
)
def test_the_command_that_would_decide_it_trains_the_option(option, command):
    cells = [cell(f"residual-{option}", d, e, e, e, training=0.2) for d, e in ((20, 1), (56, 9))]
    found = verdict_of(CLAIM, *study([], training=0.2)[:2], *cells)
    assert found.statement.startswith("undecided (the runs speak against it)")
    assert command in found.command

"""Claim 7 turns on V at every look from iteration 100 on."""

import pytest

from analysis.claims.not_vanishing_gradients import CLAIM
from tests.analysis.made import at_chance, cell, verdict_of


def study(*looks, depth=56, **fields):
    """V of each seed at iterations 0, 100, 200 and so on."""
    gradients = {100 * place: dict(enumerate(look)) for place, look in enumerate(looks)}
    return [cell("plain", depth, *looks[0], gradients=gradients, **fields)]


FINE, GONE = [-1.0, -1.1, -0.9], [-4.0, -4.1, -3.9]


@pytest.mark.parametrize(
    ("cells", "statement"),
    [
        # What is seen before training does not count.
        (study(GONE, FINE, FINE), "supported"),
        (study(FINE, FINE, GONE, GONE), "contradicted"),
        (study(FINE, GONE, FINE), "undecided: the interval spans the margin"),
        (study(FINE, [-1.9, -1.0, -1.0]), "undecided: the interval spans the margin"),
        (study([0], [-1.4]), "supported"),
        (study([0], [-1.6]), "undecided: one seed"),
        (study([0], [-2.6]), "undecided (the runs speak against it): one seed"),
        # A gradient of zero counts as vanished.
        (study(FINE, [-1.0, -45.0, -0.9]), "undecided: the interval spans the margin"),
        (study(FINE), "not testable: not run: probes of gradients in plain networks, at "
         "iteration 100 or later"),
        (study(FINE, FINE, why_not={0: "at chance"}),
         "not testable: did not start: plain at 56 layers"),
        ([*study(FINE, FINE), at_chance("plain", 110)], "supported"),
        # The deepest network that started is judged, not the deepest that was probed.
        ([*study(FINE, FINE, depth=20), *study(FINE)], "not testable: not run: probes of gradients "
         "in plain at 56 layers, the deepest plain network that started"),
        # All looks count: one with a single seed makes the whole a single seed's.
        (study(FINE, GONE, [-4.0]), "undecided (the runs speak against it): one seed"),
    ],
)  # fmt: skip
def test_verdict(cells, statement):
    assert verdict_of(CLAIM, *cells).statement.startswith(statement)


def test_growth_and_networks_that_did_not_start_are_reported_beside_it():
    stuck = study(FINE, [-7.0, -8.0, -6.0], depth=110, why_not={0: "at chance"})
    found = verdict_of(CLAIM, *study(FINE, FINE, growth={0: 3.5, 1: 3.1, 2: 3.2}), *stuck)
    assert found.outcome.finding == (
        "plain at 56 layers: V from -1.10 to -0.90; before training, gradients up to 10^3.5 "
        "times the last layer's; plain at 110 layers, which did not start: V down to -8.0"
    )

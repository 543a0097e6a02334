"""Claim 3 turns on a construction that keeps its error, beside the same depth from scratch."""

import pytest

from analysis.claims.better_by_construction import CLAIM
from tests.analysis.made import at_chance, cell, verdict_of

ENDS = {0: 64_000.0, 1: 64_000.0, 2: 64_000.0}
SHALLOW = cell("plain", 20, 1, 1.1, 0.9, evaluated={0: 1.0, 1: 1.1, 2: 0.9}, iterations=ENDS)
SCRATCH = cell("plain", 56, 5.7, 5.9, 5.6, iterations=ENDS)


def made(*errors, depth=56):
    untrained = dict(enumerate(errors))
    return cell("plain, from 20 layers", depth, 3, 3, 3, untrained=untrained)


@pytest.mark.parametrize(
    ("cells", "statement"),
    [
        ([SHALLOW, SCRATCH, made(1.0, 1.1, 0.95)], "supported"),
        ([SHALLOW, cell("plain", 56, 0.1, 0.2, 0, iterations=ENDS), made(1, 1.1, 0.9)],
         "contradicted"),
        ([SHALLOW, cell("plain", 56, 0.1, 4, 3, iterations=ENDS), made(1, 1.1, 0.9)],
         "undecided: the interval spans the margin"),
        # Seeds that only one of them has say nothing.
        ([SHALLOW, cell("plain", 56, 5.7, 5.9, 5.6, 5.5, iterations=ENDS | {3: 64_000.0}),
          made(1.0, 1.1, 0.95)], "supported"),
        # A construction that is no identity, or other training, shows nothing.
        ([SHALLOW, SCRATCH, made(1.0, 1.3, 0.9)],
         "not testable: the construction is 0.20 points from its shallow network"),
        ([SHALLOW, cell("plain", 56, 5, 5, 5, iterations=ENDS | {0: 9.0}), made(1, 1.1, 0.9)],
         "not testable: the shallow network and the one from scratch differ in iterations"),
        ([SHALLOW, SCRATCH],
         "not testable: not run: a trained plain network made deeper by identity layers"),
        ([SHALLOW, at_chance("plain", 110), made(1, 1, 1, depth=110)],
         "not testable: did not start: plain at 110 layers"),
    ],
)  # fmt: skip
def test_verdict(cells, statement):
    assert verdict_of(CLAIM, *cells).statement == statement


def test_the_deepest_network_that_started_is_judged():
    deeper = [at_chance("plain", 110), made(1, 1.1, 0.9, depth=110)]
    found = verdict_of(CLAIM, SHALLOW, SCRATCH, made(1, 1.1, 0.9), *deeper)
    assert "plain networks of 56 layers" in found.outcome.finding
    assert (found.outcome.effect.value, found.outcome.seeds) == (pytest.approx(4.733, abs=1e-3), 3)

"""Simulated studies: no rule is wrong in more than 5 % of them, and each can decide."""

import pytest

from analysis.claims.judging import Ruling
from tests.analysis.simulated import RULES, SEEDS, Noise, bound

pytestmark = pytest.mark.slow

STUDIES = 300


@pytest.mark.parametrize("n", SEEDS)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.label)
def test_at_most_one_verdict_in_twenty_is_wrong(rule, n):
    among = [
        Noise(n, 0.1),
        Noise(n, 0.3, unequal=True, shared=True),
        Noise(n, 1.0, shared=True),
        Noise(n, 1.0, unequal=True),
    ]
    for ruling in (Ruling.SUPPORTED, Ruling.CONTRADICTED):
        assert rule.wrong(ruling, among, STUDIES) <= bound(STUDIES), ruling


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.label)
def test_three_margins_decide(rule):
    noise = Noise(3, 0.1)
    assert rule.share(Ruling.SUPPORTED, rule.truth(3), noise, 100) > 0.9
    # A short run cannot contradict claim 5b.
    expected = 0 if rule.label == "5b, short" else 1
    against = rule.share(Ruling.CONTRADICTED, rule.truth(-3), noise, 100)
    assert against == pytest.approx(expected, abs=0.1)

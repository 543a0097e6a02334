"""Claim 8 turns on ratios of responses, after half of the paper's training."""

import pytest

from analysis.claims.residual_functions_are_small import CLAIM
from tests.analysis.made import at_chance, cell, verdict_of


def study(*means, seeds=3, **fields):
    """Mean responses of plain 20 and 56, then of residual A 20, 56 and 110."""
    networks = [("plain", 20), ("plain", 56), *(("residual-A", depth) for depth in (20, 56, 110))]
    found = [{seed: mean * (1 + seed / 100) for seed in range(seeds)} for mean in means]
    return [
        cell(*network, *range(seeds), response=response, **fields)
        for network, response in zip(networks, found, strict=True)
    ]


PAPER = (1.82, 1.52, 1.62, 1.13, 0.99)


@pytest.mark.parametrize(
    ("cells", "statement"),
    [
        (study(*PAPER), "supported"),
        (study(*PAPER, seeds=1), "supported"),
        # With one seed a tenth counts; less leaves it open.
        (study(1.82, 1.52, 1.75, 1.13, 0.99, seeds=1), "undecided: one seed"),
        (study(1.82, 1.52, 1.62, 1.13, 1.80), "contradicted"),
        (study(1.82, 1.52, 1.62, 1.80, 0.99), "contradicted"),
        (study(*PAPER, training=0.4), "not testable: too short: 40 % of the paper's training, a "
         "half is needed"),
        ([*study(*PAPER)[:3], at_chance("residual-A", 56)],
         "not testable: not run: probes of responses in plain and residual A networks at two"),
        (study(*PAPER, why_not={0: "diverged"}),
         "not testable: did not start: plain at 20 layers; did not start: plain at 56 layers"),
    ],
)  # fmt: skip
def test_verdict(cells, statement):
    assert verdict_of(CLAIM, *cells).statement.startswith(statement)

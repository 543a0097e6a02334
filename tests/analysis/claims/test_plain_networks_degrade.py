"""Claim 1 turns on D, on the steps between depths, and on networks that did not start."""

from dataclasses import replace

import pytest

from analysis.claims.plain_networks_degrade import CLAIM
from tests.analysis.made import at_chance, cell, verdict_of

SHALLOW = cell("plain", 20, 1.3, 1.4, 1.2)


def without(found):
    """The cell with other seeds."""
    return replace(found, final={"train_error": {7: 5.7, 8: 5.9}})


def deep(*errors, **fields):
    return cell("plain", 56, *errors, **fields)


@pytest.mark.parametrize(
    ("cells", "statement"),
    [
        ([SHALLOW, deep(5.7, 5.9, 5.6)], "supported"),
        ([SHALLOW, deep(5.7, 5.9, 5.6, training=0.1)], "supported at 10 % of the paper's training"),
        ([SHALLOW, deep(1.3, 1.5, 1.2)], "contradicted"),
        ([SHALLOW, deep(0.3, 0.2, 0.3)], "contradicted"),
        # Equal errors say nothing before half of the paper's training; a fall does.
        (
            [SHALLOW, deep(1.3, 1.5, 1.1, training=0.4)],
            "undecided: less than half of the paper's training",
        ),
        ([SHALLOW, deep(0.3, 0.2, 0.3, training=0.24)], "contradicted"),
        ([SHALLOW, deep(9, 2, 0.5)], "undecided: the interval spans the margin"),
        ([cell("plain", 20, 1.3), cell("plain", 56, 1.6)], "undecided: one seed"),
        ([SHALLOW], "not testable: not run: plain networks at two depths"),
        (
            [SHALLOW, cell("plain", 56, 5, why_not={0: "running"})],
            "not testable: not finished: plain at 56 layers",
        ),
        (
            [SHALLOW, without(cell("plain", 56, 5.7, 5.9))],
            "not testable: not run: a common seed for "
            "train_error of plain at 56 layers, train_error of plain at 20 layers",
        ),
        ([SHALLOW, at_chance("plain", 110)], "not testable: did not start: plain at 110 layers"),
        # A network that did not start adds nothing, but may be the one that degrades.
        ([SHALLOW, deep(5.7, 5.9, 5.6), at_chance("plain", 110)], "supported"),
        (
            [SHALLOW, deep(0.3, 0.2, 0.3), at_chance("plain", 110)],
            "undecided (the runs speak against it): did not start: plain at 110 layers",
        ),
    ],
)
def test_verdict(cells, statement):
    assert verdict_of(CLAIM, *cells).statement == statement


def test_a_fall_between_neighbours_is_named():
    found = verdict_of(CLAIM, SHALLOW, cell("plain", 32, 8, 8.1, 7.9), deep(5.7, 5.9, 5.6))
    assert found.statement.startswith("undecided: training error changes by -2.3 points [-2.4")
    assert found.statement.endswith("from 32 to 56 layers")


@pytest.mark.parametrize(
    ("fields", "reasons"),
    [
        ({"training": 0.2}, ["20 % of the paper's training, a quarter is needed"]),
        ({"rate_fell": False}, ["the learning rate has not fallen to a tenth"]),
        (
            {"first_phase": {"train_error": {0: 0.0, 1: 0.0, 2: 0.0}}},
            ["the gap is closing, from -9.0 in the rate's first phase"],
        ),
        ({"first_phase": {"train_error": {0: 8.0, 1: 8.0, 2: 8.0}}}, []),
        (
            {"falls_in_steps": False},
            ["the rate falls in every iteration, so whether the gap is closing is unknown"],
        ),
    ],
)
def test_what_speaks_against_it_contradicts_it_only_if_more_training_could_not_change_it(
    fields, reasons
):
    first = {"train_error": {0: 9.0, 1: 9.0, 2: 9.0}}
    shallow = cell("plain", 20, 1.3, 1.4, 1.2, first_phase=first)
    assert list(verdict_of(CLAIM, shallow, deep(0.3, 0.2, 0.3, **fields)).reasons) == reasons


def test_one_seed_needs_more_seeds_and_little_training_needs_more_training():
    for training, command in ((1.0, "the command that made these runs"), (0.2, "figure6")):
        found = verdict_of(CLAIM, cell("plain", 20, 1.3), cell("plain", 56, 0.3, training=training))
        assert found.reasons[0] == "one seed"
        assert command in found.command

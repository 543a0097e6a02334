"""The learning rate at every milestone, and the warm-up's end."""

from dataclasses import replace

import pytest
import torch

from resnet_study.config import PlateauConfig, RunConfig, ScheduleConfig, WarmupConfig
from resnet_study.system.errors import ConfigError
from resnet_study.training.schedule import (
    DECAYS,
    ended,
    follow_plateau,
    learning_rate,
    still_warming,
)
from resnet_study.training.state import TrainingState

PAPER = ScheduleConfig()


@pytest.mark.parametrize(
    "iteration, warming, rate",
    [
        (0, False, 0.1), (31_999, False, 0.1), (32_000, False, 0.01),
        (47_999, False, 0.01), (48_000, False, 0.001), (63_999, False, 0.001),
        # A warm-up returns to the full rate, not to a tenth of its own.
        (100, True, 0.01), (400, False, 0.1),
    ],
)  # fmt: skip
def test_the_paper_schedule_at_every_milestone(iteration, warming, rate):
    assert learning_rate(PAPER, iteration, warming) == pytest.approx(rate, rel=1e-12)


COUNTED = ScheduleConfig(warmup=WarmupConfig(iterations=200, until_error=None))


@pytest.mark.parametrize(
    "schedule, iteration, error, warming",
    [
        # Until the error is below the threshold.
        (PAPER, 400, 80.0, True), (PAPER, 400, 79.9, False), (PAPER, 401, None, True),
        # For its iterations.
        (COUNTED, 199, 0.0, True), (COUNTED, 200, None, False),
        # Not beyond the first milestone.
        (PAPER, 31_999, 90.0, True), (PAPER, 32_000, 90.0, False),
    ],
)  # fmt: skip
def test_a_warmup_ends(schedule, iteration, error, warming):
    assert still_warming(schedule, iteration, train_error=error) == warming


def plateau(**options) -> tuple[ScheduleConfig, TrainingState]:
    config = PlateauConfig(**({"patience": 2, "improvement": 0.5} | options))
    schedule = ScheduleConfig(milestones=(), plateau=config)
    return schedule, TrainingState.initial(schedule, 20, torch.device("cpu"))


def rates(schedule: ScheduleConfig, state: TrainingState, errors: list[float]) -> list[float]:
    found = []
    for error in errors:
        follow_plateau(schedule, state, error)
        found.append(learning_rate(schedule, 1000, state.warming, state.drops))
    return found


def test_the_rate_falls_where_the_test_error_no_longer_does():
    errors = [60, 50, 40, 39.8, 39.6, 39, 39, 39.2, 20, 20, 20]
    # 39.8 and 39.6 are lower, but by less than counts; patience begins anew after a fall.
    expected = [0.1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001, 0.001, 0.001, 0.0001]
    assert rates(*plateau(), errors) == pytest.approx(expected, rel=1e-12)
    # No further than it may.
    assert rates(*plateau(patience=1, drops=2), [50.0] * 6)[-1] == pytest.approx(0.001)
    # An equal error is not lower.
    assert rates(*plateau(improvement=0), [50.0] * 5)[-1] == pytest.approx(0.001)


@pytest.mark.parametrize("stop_early", [True, False])
def test_the_plateau_after_the_last_fall_ends_a_run_if_it_may(stop_early):
    schedule, state = plateau(drops=2, stop_early=stop_early)
    found = []
    for _ in range(7):
        follow_plateau(schedule, state, 50.0)
        found.append(ended(schedule, state))
    # The first error is the lowest so far; two falls after two more each, and two more.
    assert found == [False] * 6 + [stop_early]
    state.iteration = schedule.iterations
    assert ended(schedule, state)


def test_without_patience_milestones_alone_act_and_a_warm_up_is_no_plateau():
    state = TrainingState.initial(PAPER, 20, torch.device("cpu"))
    assert rates(PAPER, state, [50.0] * 40) == [0.1] * 40
    assert ScheduleConfig(plateau=PlateauConfig(improvement=7)) == PAPER
    schedule = replace(plateau(patience=1)[0], warmup=WarmupConfig(min_depth=0))
    state = TrainingState.initial(schedule, 20, torch.device("cpu"))
    rates(schedule, state, [90.0] * 5)
    assert (state.drops, state.stale) == (0, 0)
    with pytest.raises(ConfigError, match=r"must be \[\] with schedule.plateau.patience=2"):
        ScheduleConfig(plateau=PlateauConfig(patience=2))


COSINE = ScheduleConfig(iterations=100, decay="cosine", milestones=())
RAMP = WarmupConfig(start_rate=0.02, iterations=20, until_error=None, min_depth=0)


@pytest.mark.parametrize(
    "iteration, share",
    # A quarter of the way is at (1 + cos 45°) / 2. The rate would be 0 after the last iteration.
    [(0, 1.0), (25, 0.853553), (50, 0.5), (75, 0.146447), (99, 0.00024672)],
)
def test_a_cosine_falls_from_the_full_rate_to_zero(iteration, share):
    assert learning_rate(COSINE, iteration, False) == pytest.approx(0.1 * share, rel=1e-3)


def test_a_ramp_rises_to_the_full_rate_where_the_cosine_begins():
    schedule = replace(COSINE, warmup=RAMP)
    state = TrainingState.initial(schedule, 8, torch.device("cpu"))
    found = []
    for iteration in range(100):
        found.append(learning_rate(schedule, iteration, state.warming))
        state.warming = state.warming and still_warming(schedule, iteration + 1, None)
    assert found[:3] == pytest.approx([0.02, 0.024, 0.028])
    assert found[20] == 0.1 == max(found)
    assert found[60] == pytest.approx(0.05)
    # A network that is spared the warm-up has the same rate from there on, and the full one before.
    assert [learning_rate(schedule, at, False) for at in range(100)] == [0.1] * 20 + found[20:]


def test_a_ramp_with_milestones_comes_before_them():
    schedule = ScheduleConfig(iterations=100, milestones=(50,), warmup=RAMP)
    assert learning_rate(schedule, 10, True) == pytest.approx(0.06)
    assert [learning_rate(schedule, at, False) for at in (20, 49, 50)] == [0.1, 0.1, 0.01]


def test_what_has_no_effect_makes_no_new_id():
    assert replace(COSINE, gamma=0.5) == COSINE
    assert replace(PAPER, optimizer="adamw", momentum=0.5) == replace(PAPER, optimizer="adamw")
    assert replace(RAMP, learning_rate=0.5) == RAMP
    schedules = [PAPER, replace(PAPER, milestones=()), replace(PAPER, optimizer="adamw")]
    schedules += [replace(PAPER, decay="cosine", milestones=()), replace(PAPER, warmup=RAMP)]
    assert len({RunConfig(schedule=schedule).run_id for schedule in schedules}) == 5


def test_only_a_rate_that_changes_in_every_iteration_is_called_so():
    steady = [PAPER, replace(PAPER, optimizer="adamw"), plateau()[0], COUNTED]
    assert not any(schedule.changes_each_iteration for schedule in steady)
    assert COSINE.changes_each_iteration
    assert replace(PAPER, warmup=RAMP).changes_each_iteration


@pytest.mark.parametrize("decay", DECAYS)
def test_every_decay_falls_from_the_full_rate_to_a_tenth_or_less(decay):
    given = {} if decay == "steps" else {"milestones": ()}
    plan = ScheduleConfig(iterations=60_000, decay=decay, **given)
    rates = [learning_rate(plan, i, False) for i in range(0, plan.iterations, 1000)]
    assert rates[0] == plan.learning_rate
    assert sorted(rates, reverse=True) == rates
    assert 0 <= rates[-1] <= plan.learning_rate / 10

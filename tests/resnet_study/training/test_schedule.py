"""The learning rate at every milestone, and the warm-up's end."""

from dataclasses import replace

import pytest
import torch

from resnet_study.config import PlateauConfig, ScheduleConfig, WarmupConfig
from resnet_study.errors import ConfigError
from resnet_study.training.schedule import ended, follow_plateau, learning_rate, still_warming
from resnet_study.training.state import TrainingState

PAPER = ScheduleConfig()


@pytest.mark.parametrize(
    ("iteration", "rate"),
    [
        (0, 0.1),
        (31_999, 0.1),
        (32_000, 0.01),
        (47_999, 0.01),
        (48_000, 0.001),
        (63_999, 0.001),
    ],
)
def test_the_paper_schedule_at_every_milestone(iteration, rate):
    assert learning_rate(PAPER, iteration, warming=False) == pytest.approx(rate, rel=1e-12)


def test_warmup_returns_to_the_full_rate_not_to_a_tenth_of_its_own():
    assert learning_rate(PAPER, 100, warming=True) == 0.01
    assert learning_rate(PAPER, 400, warming=False) == 0.1


def test_warmup_ends_when_the_error_falls_below_the_threshold():
    assert still_warming(PAPER, 400, train_error=80.0)
    assert not still_warming(PAPER, 400, train_error=79.9)
    assert still_warming(PAPER, 401, train_error=None)


def test_warmup_ends_after_its_iterations():
    schedule = ScheduleConfig(warmup=WarmupConfig(iterations=200, until_error=None))
    assert still_warming(schedule, 199, train_error=0.0)
    assert not still_warming(schedule, 200, train_error=None)


def test_warmup_never_outlasts_the_first_milestone():
    assert still_warming(PAPER, 31_999, train_error=90.0)
    assert not still_warming(PAPER, 32_000, train_error=90.0)


def plateau(**options) -> tuple[ScheduleConfig, TrainingState]:
    schedule = ScheduleConfig(
        milestones=(), plateau=PlateauConfig(**({"patience": 2, "improvement": 0.5} | options))
    )
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


def test_the_rate_falls_no_further_than_it_may():
    assert rates(*plateau(patience=1, drops=2), [50.0] * 6)[-1] == pytest.approx(0.001)


def test_the_plateau_after_the_last_fall_ends_a_run_if_it_may():
    for stop_early in (True, False):
        schedule, state = plateau(drops=2, stop_early=stop_early)
        found = []
        for _ in range(7):
            follow_plateau(schedule, state, 50.0)
            found.append(ended(schedule, state))
        # The first error is the lowest so far; two falls after two more each, and two more.
        assert found == [False] * 6 + [stop_early]
    state.iteration = schedule.iterations
    assert ended(schedule, state)


def test_without_patience_milestones_alone_act():
    schedule = ScheduleConfig()
    state = TrainingState.initial(schedule, 20, torch.device("cpu"))
    assert rates(schedule, state, [50.0] * 40) == [0.1] * 40
    assert ScheduleConfig(plateau=PlateauConfig(improvement=7)) == schedule


def test_a_warm_up_is_no_plateau():
    schedule = replace(plateau(patience=1)[0], warmup=WarmupConfig(min_depth=0))
    state = TrainingState.initial(schedule, 20, torch.device("cpu"))
    rates(schedule, state, [90.0] * 5)
    assert (state.drops, state.stale) == (0, 0)


def test_milestones_and_a_plateau_exclude_each_other():
    with pytest.raises(ConfigError, match=r"allowed with schedule.plateau.patience=2 is \[\]"):
        ScheduleConfig(plateau=PlateauConfig(patience=2))


def test_an_equal_error_is_not_lower():
    schedule, state = plateau(patience=2, improvement=0)
    assert rates(schedule, state, [50.0] * 5)[-1] == pytest.approx(0.001)

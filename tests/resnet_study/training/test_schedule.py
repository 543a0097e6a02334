"""The learning rate at every milestone, and the warm-up's end."""

import pytest

from resnet_study.config import ScheduleConfig, WarmupConfig
from resnet_study.training.schedule import learning_rate, still_warming

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

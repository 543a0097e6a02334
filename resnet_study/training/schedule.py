"""The learning rate as a function of the iteration, and when rows and evaluations are due.

A config reads the table of decays, so the top of this file imports neither torch nor the rest
of the study.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resnet_study.config import ScheduleConfig
    from resnet_study.training.state import TrainingState


def steps(schedule: ScheduleConfig, iteration: int, drops: int) -> float:
    """Falls to a tenth, or `gamma`, at milestones and plateaus (He et al. 2015, §3.4, §4.2)."""
    passed = drops + sum(iteration >= milestone for milestone in schedule.milestones)
    # Division keeps 0.1/10 at 0.01 exactly, where multiplying by 0.1 would not.
    return schedule.learning_rate / (1 / schedule.gamma) ** passed


def cosine(schedule: ScheduleConfig, iteration: int, _: int) -> float:
    """Falls to 0 along half a cosine (Loshchilov & Hutter 2017, Eqn. 5, without restarts)."""
    return schedule.learning_rate * (1 + math.cos(math.pi * progress(schedule, iteration))) / 2


def progress(schedule: ScheduleConfig, iteration: int) -> float:
    """The share of the iterations after `warmup.iterations` that is completed, from 0 to 1.

    It is the same for networks without a warm-up (see `warmup.min_depth`), so that networks of
    all depths have the same rate after it.
    """
    begin = schedule.warmup.iterations or 0
    return max(0, iteration - begin) / (schedule.iterations - begin)


# How the rate falls after the warm-up. Each function takes the schedule, the iteration, counted
# from 0, and how often the rate has fallen at a plateau.
DECAYS: dict[str, Callable[[ScheduleConfig, int, int], float]] = {"steps": steps, "cosine": cosine}


def learning_rate(schedule: ScheduleConfig, iteration: int, warming: bool, drops: int = 0) -> float:
    """The rate of one iteration.

    It is computed from the full rate each time, so that neither the end of the warm-up nor a
    resume can leave a wrong rate behind.

    Args:
        schedule: The run's schedule.
        iteration: Counted from 0; a milestone of 32,000 first acts on iteration 32,000, when
            32,000 have been completed.
        warming: Whether the warm-up has not ended yet.
        drops: How often the rate has fallen at a plateau.
    """
    if not warming:
        return DECAYS[schedule.decay](schedule, iteration, drops)
    warmup = schedule.warmup
    if warmup.start_rate is None or warmup.iterations is None:
        return warmup.learning_rate
    rise = schedule.learning_rate - warmup.start_rate
    return warmup.start_rate + rise * iteration / warmup.iterations


def still_warming(schedule: ScheduleConfig, completed: int, train_error: float | None) -> bool:
    """Whether a warm-up that has not ended so far continues.

    Args:
        schedule: The run's schedule.
        completed: Iterations completed.
        train_error: Training error of the row just logged, in percent; None between rows, since
            the error is not read in every iteration.
    """
    warmup = schedule.warmup
    if warmup.iterations is not None and completed >= warmup.iterations:
        return False
    if schedule.milestones and completed >= schedule.milestones[0]:
        return False
    reached = warmup.until_error is not None and train_error is not None
    return not (reached and train_error < warmup.until_error)  # type: ignore[operator]


def evaluation_due(schedule: ScheduleConfig, completed: int) -> bool:
    """Whether the network is evaluated after `completed` iterations; always after the last."""
    return completed == schedule.iterations or completed % schedule.eval_every == 0


def row_due(schedule: ScheduleConfig, completed: int) -> bool:
    """Whether a row is logged after `completed` iterations; each evaluation has one."""
    return evaluation_due(schedule, completed) or completed % schedule.log_every == 0


def row_pending(schedule: ScheduleConfig, state: TrainingState) -> bool:
    """Whether a row is due but not made, because the run was stopped in its evaluation."""
    return state.images > 0 and row_due(schedule, state.iteration)


def ended(schedule: ScheduleConfig, state: TrainingState) -> bool:
    """Whether nothing is left to train."""
    plateau = schedule.plateau
    return state.iteration >= schedule.iterations or (
        plateau.stop_early
        and plateau.patience is not None
        and state.drops == plateau.drops
        and state.stale >= plateau.patience
    )


def follow_plateau(schedule: ScheduleConfig, state: TrainingState, test_error: float) -> None:
    """Counts an evaluation, and lets the rate fall once the error no longer does.

    After a fall, the lowest error so far still counts, and patience begins again. Evaluations
    during the warm-up do not count.

    Args:
        schedule: The run's schedule.
        state: Changed in place.
        test_error: Test error of the evaluation, in percent.
    """
    plateau = schedule.plateau
    if plateau.patience is None or state.warming:
        return
    if test_error < state.lowest and test_error <= state.lowest - plateau.improvement:
        state.lowest, state.stale = test_error, 0
        return
    state.stale += 1
    if state.stale >= plateau.patience and state.drops < plateau.drops:
        state.drops, state.stale = state.drops + 1, 0

"""The learning rate as a function of iteration and warm-up (He et al. 2015, §4.2)."""

from __future__ import annotations

from resnet_study.config import ScheduleConfig
from resnet_study.training.state import TrainingState


def learning_rate(schedule: ScheduleConfig, iteration: int, warming: bool, drops: int = 0) -> float:
    """The rate of one iteration.

    It is computed anew from the full rate each time, so neither the end of the warm-up
    nor a resume can leave a wrong rate behind.

    Args:
        schedule: The run's schedule.
        iteration: Counted from 0; a milestone of 32,000 first acts on iteration 32,000,
            the one after 32,000 have been completed.
        warming: Whether the warm-up has not ended yet.
        drops: How often the rate has fallen at a plateau.
    """
    if warming:
        return schedule.warmup.learning_rate
    passed = drops + sum(iteration >= milestone for milestone in schedule.milestones)
    # Division keeps 0.1/10 at 0.01 exactly, where multiplying by 0.1 would not.
    return schedule.learning_rate / (1 / schedule.gamma) ** passed


def still_warming(schedule: ScheduleConfig, completed: int, train_error: float | None) -> bool:
    """Whether a warm-up that has not ended goes on.

    Args:
        schedule: The run's schedule.
        completed: Iterations completed.
        train_error: Training error of the row just logged, in percent, or None between
            rows: the error is read where it is logged, never per iteration.
    """
    warmup = schedule.warmup
    if warmup.iterations is not None and completed >= warmup.iterations:
        return False
    if schedule.milestones and completed >= schedule.milestones[0]:
        return False
    reached = warmup.until_error is not None and train_error is not None
    return not (reached and train_error < warmup.until_error)  # type: ignore[operator]


def evaluation_due(schedule: ScheduleConfig, completed: int) -> bool:
    """Whether the network is evaluated after so many iterations; always after the last."""
    return completed == schedule.iterations or completed % schedule.eval_every == 0


def row_due(schedule: ScheduleConfig, completed: int) -> bool:
    """Whether a row is logged after so many iterations; each evaluation has one."""
    return evaluation_due(schedule, completed) or completed % schedule.log_every == 0


def row_pending(schedule: ScheduleConfig, state: TrainingState) -> bool:
    """Whether a run was stopped during an evaluation: its row has yet to be made."""
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
    """Takes note of an evaluation, and lets the rate fall where the error no longer does.

    After a fall the lowest error so far still counts, and patience begins anew. A warm-up is
    no plateau.

    Args:
        schedule: The run's schedule.
        state: Changed in place.
        test_error: Of the evaluation, in percent.
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

"""The training loop, read from top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping

from resnet_study.config import ScheduleConfig
from resnet_study.training.evaluation import Scores
from resnet_study.training.schedule import (
    ended,
    evaluation_due,
    follow_plateau,
    learning_rate,
    row_due,
    row_pending,
    still_warming,
)
from resnet_study.training.state import TrainingState
from resnet_study.training.step import Step, Tensors
from resnet_study.training.world import ALONE, World

# Not a column of metrics.csv: percent of the training time in which the loop waited for data.
WAITING = "waiting"
Row = dict[str, float | int | None]
Evaluation = Callable[[], Scores]


def first_row(evaluations: Mapping[str, Evaluation]) -> Row:
    """The row before the first iteration: what a network that was trained before can do."""
    row: Row = {"iteration": 0, "epoch": 0.0, "seconds": 0.0}
    _evaluate(evaluations, row)
    return row


def _evaluate(evaluations: Mapping[str, Evaluation], row: Row) -> None:
    """Puts what is found into a row."""
    for name, evaluation in evaluations.items():
        scores = evaluation()
        row[f"{name}_loss"], row[f"{name}_error"] = scores.loss, scores.error


def train(
    step: Step,
    batches: Iterable[Tensors],
    evaluations: Mapping[str, Evaluation],
    schedule: ScheduleConfig,
    train_images: int,
    state: TrainingState,
    on_row: Callable[[Row], None],
    on_iteration: Callable[[int], None],
    processes: World = ALONE,
) -> str:
    """Trains from `state.iteration` to the end of the schedule.

    Args:
        step: Carries out one iteration.
        batches: What `step` takes, `schedule.batch_size` images each, the first being that
            of `state.iteration`.
        evaluations: One for each prefix of metrics columns ("clean_train", "test"). One that
            raises leaves `state` such that the row is made when training goes on.
        schedule: Length, rates and cadence.
        train_images: Size of the training set; epochs are derived from it.
        state: Changed in place, so that the caller can save it at any time.
        on_row: Takes each finished row of metrics.csv.
        on_iteration: Takes the number of completed iterations.
        processes: Those that train together, each with its share of every batch.

    Returns:
        "finished", or "diverged" where the training loss stopped being finite; the row
        that shows it has been handed to `on_row`.
    """
    step.network.train()

    def complete(started: float) -> bool:
        """Carries out what follows an iteration; returns False where the loss has diverged."""
        train_error = None
        if row_due(schedule, state.iteration):
            train_error = 100 * int(processes.total(state.wrong)) / state.images
            mean_loss = float(processes.total(state.loss_sum)) * schedule.batch_size / state.images
            diverged = not math.isfinite(mean_loss)
            state.row_seconds += time.perf_counter() - started
            row: Row = {
                "iteration": state.iteration,
                "epoch": state.iteration * schedule.batch_size / train_images,
                "learning_rate": rate_of(state.iteration - 1),
                "train_loss": mean_loss,
                "train_error": train_error,
                "images_per_second": state.images / state.row_seconds,
                WAITING: 100 * state.row_waited / state.row_seconds,
            }
            # Before an evaluation, in which the run may be stopped.
            state.seconds += time.perf_counter() - started
            if evaluation_due(schedule, state.iteration) and not diverged:
                started = time.perf_counter()
                _evaluate(evaluations, row)
                follow_plateau(schedule, state, float(row["test_error"] or 0.0))
                state.seconds += time.perf_counter() - started
            row["seconds"] = state.seconds
            state.loss_sum.zero_()
            state.wrong.zero_()
            state.images = 0
            state.row_seconds = state.row_waited = 0.0
            on_row(row)
            if diverged:
                return False
        else:
            elapsed = time.perf_counter() - started
            state.seconds += elapsed
            state.row_seconds += elapsed
        state.warming = state.warming and still_warming(schedule, state.iteration, train_error)
        on_iteration(state.iteration)
        return True

    def rate_of(iteration: int) -> float:
        return learning_rate(schedule, iteration, state.warming, state.drops)

    if row_pending(schedule, state) and not complete(time.perf_counter()):
        return "diverged"
    if ended(schedule, state):
        return "finished"
    # What the callbacks take is not training time; getting the batch is.
    started = time.perf_counter()
    for batch in batches:
        waited = time.perf_counter() - started
        state.waited += waited
        state.row_waited += waited
        step(batch, rate_of(state.iteration))
        step.hold_back()
        state.images += schedule.batch_size
        state.iteration += 1
        if not complete(started):
            return "diverged"
        if ended(schedule, state):
            break
        started = time.perf_counter()
    return "finished"

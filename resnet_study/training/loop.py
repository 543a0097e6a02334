"""The training loop, read from top to bottom."""

import math
import time
from collections.abc import Generator
from contextlib import closing

from resnet_study.system.interruption import StopRequest
from resnet_study.training.events import Begun, Completed, Ended, Event, Row
from resnet_study.training.schedule import (
    ended,
    evaluation_due,
    follow_plateau,
    learning_rate,
    row_due,
    row_pending,
    still_warming,
)
from resnet_study.training.trainer import Trainer


def train(trainer: Trainer, stop: StopRequest) -> Generator[Event]:
    """Trains from `trainer.state.iteration` to the end of the schedule.

    Args:
        trainer: Its weights and state change from event to event. At every event, and whenever
            an error is raised, they are consistent and can be saved.
        stop: Checked after each iteration and, by `trainer.evaluate`, within evaluations.

    Yields:
        `Begun` for a run that is not resumed, after a row if it starts from trained weights;
        `Row` wherever one is due; `Completed` after each iteration; `Ended` at the end. The row
        in which a loss diverges is followed by `Ended` at once.

    Raises:
        Interrupted: A stop was requested. Within an evaluation, the row is not reported yet: it
            is made when training resumes.
        ImageError: An image cannot be read.
    """
    schedule, state = trainer.schedule, trainer.state
    if trainer.fresh:
        if trainer.starts_from_weights:
            row = Row(0, epoch=0.0, seconds=0.0)
            trainer.evaluate(row, stop)
            yield row
        yield Begun()
    diverged = False
    if row_pending(schedule, state):
        diverged = yield from _complete(trainer, time.perf_counter(), stop)
    with closing(trainer.batches()) as batches:
        while not diverged and not ended(schedule, state):
            # Waiting for the batch is training time; what happens at a `yield` is not.
            started = time.perf_counter()
            batch = next(batches)
            waited = time.perf_counter() - started
            state.waited += waited
            state.row_waited += waited
            trainer.step(batch, trainer.learning_rate)
            trainer.step.hold_back()
            state.images += schedule.batch_size
            state.iteration += 1
            diverged = yield from _complete(trainer, started, stop)
    yield Ended(diverged)


def _complete(
    trainer: Trainer, started: float, stop: StopRequest
) -> Generator[Row | Completed, None, bool]:
    """Does what follows an iteration; returns whether the loss has diverged."""
    schedule, state, world = trainer.schedule, trainer.state, trainer.world
    train_error = None
    due = row_due(schedule, state.iteration)
    if due:
        # Reading them waits for a GPU, so it comes before the clock is read.
        train_error = 100 * int(world.total(state.wrong)) / state.images
        mean_loss = float(world.total(state.loss_sum)) * schedule.batch_size / state.images
    state.add_seconds(time.perf_counter() - started)
    if due:
        row = Row(
            iteration=state.iteration,
            epoch=state.iteration * schedule.batch_size / trainer.train_images,
            learning_rate=learning_rate(schedule, state.iteration - 1, state.warming, state.drops),
            train_loss=mean_loss,
            train_error=train_error,
            images_per_second=state.images / state.row_seconds,
            waiting=100 * state.row_waited / state.row_seconds,
        )
        diverged = not math.isfinite(mean_loss)
        if evaluation_due(schedule, state.iteration) and not diverged:
            started = time.perf_counter()
            trainer.evaluate(row, stop)
            follow_plateau(schedule, state, row.test_error or 0.0)
            state.seconds += time.perf_counter() - started
        row.seconds = state.seconds
        state.begin_row()
        yield row
        if diverged:
            return True
    state.warming = state.warming and still_warming(schedule, state.iteration, train_error)
    yield Completed(state.iteration)
    if world.any_requested(stop.requested, state.iteration):
        raise stop.interrupted(state.iteration, schedule.iterations)
    return False

"""Train and evaluate: one loop, read from top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from resnet_study.config import ScheduleConfig
from resnet_study.training.schedule import learning_rate, still_warming

Batch = tuple[torch.Tensor, torch.Tensor]
Row = dict[str, float | int | None]
EVALUATION_BATCH = 1000


@dataclass
class TrainingState:
    """What the loop carries from one iteration to the next, beside weights and momentum.

    Attributes:
        iteration: Iterations completed.
        warming: Whether the warm-up has not ended yet.
        loss_sum: Sum of the losses of the mini-batches since the last row.
        wrong: Misclassified images since the last row.
        images: Images since the last row.
        seconds: Time spent in the loop, evaluations included.
        row_seconds: Time spent training since the last row, evaluations excluded.
    """

    iteration: int
    warming: bool
    loss_sum: torch.Tensor
    wrong: torch.Tensor
    images: int = 0
    seconds: float = 0.0
    row_seconds: float = 0.0

    @classmethod
    def initial(cls, schedule: ScheduleConfig, depth: int, device: torch.device) -> TrainingState:
        """The state before the first iteration."""
        return cls(
            iteration=0,
            warming=schedule.warmup.applies_to(depth),
            loss_sum=torch.zeros((), dtype=torch.float64, device=device),
            wrong=torch.zeros((), dtype=torch.int64, device=device),
        )


def build_optimizer(network: nn.Module, schedule: ScheduleConfig) -> torch.optim.SGD:
    """SGD with momentum, not Nesterov's, and weight decay on all parameters (§4.2)."""
    return torch.optim.SGD(
        network.parameters(),
        lr=schedule.learning_rate,
        momentum=schedule.momentum,
        weight_decay=schedule.weight_decay,
        fused=True,
    )


def forward(network: nn.Module, images: torch.Tensor, precision: str) -> torch.Tensor:
    """Logits in float32, computed under bf16 autocast where `precision` is "bf16"."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bf16"):
        logits: torch.Tensor = network(images)
    return logits.float()


@torch.no_grad()
def evaluate(network: nn.Module, batches: Iterable[Batch], precision: str) -> tuple[float, float]:
    """Loss and error in evaluation mode; the network returns in training mode.

    Args:
        network: Maps `(N, 3, H, W)` to logits `(N, classes)`.
        batches: Images and labels, each image once.
        precision: "fp32" or "bf16".

    Returns:
        Mean cross-entropy in nats, and top-1 error in percent.
    """
    network.eval()
    losses, wrongs, images = [], [], 0
    for inputs, labels in batches:
        logits = forward(network, inputs, precision)
        losses.append(F.cross_entropy(logits, labels, reduction="sum"))
        wrongs.append((logits.argmax(dim=1) != labels).sum())
        images += len(labels)
    network.train()
    loss = float(torch.stack(losses).double().sum()) / images
    return loss, 100 * int(torch.stack(wrongs).sum()) / images


def first_row(
    network: nn.Module, evaluations: Mapping[str, Callable[[], Iterable[Batch]]], precision: str
) -> Row:
    """The row before the first iteration: what a network that was trained before can do.

    Args:
        network: On the device.
        evaluations: As in `train`.
        precision: "fp32" or "bf16".
    """
    row: Row = {"iteration": 0, "epoch": 0.0, "seconds": 0.0}
    for name, batches in evaluations.items():
        row[f"{name}_loss"], row[f"{name}_error"] = evaluate(network, batches(), precision)
    return row


def train(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Batch],
    evaluations: Mapping[str, Callable[[], Iterable[Batch]]],
    schedule: ScheduleConfig,
    precision: str,
    train_images: int,
    state: TrainingState,
    on_row: Callable[[Row], None],
    on_iteration: Callable[[int], None],
) -> str:
    """Trains from `state.iteration` to the end of the schedule.

    Args:
        network: In training mode, on the device.
        optimizer: Its learning rate is set here.
        batches: Training batches, the first being that of `state.iteration`.
        evaluations: For each prefix of metrics columns ("clean_train", "test"), a
            function that returns the batches to evaluate on.
        schedule: Length, rates and cadence.
        precision: "fp32" or "bf16".
        train_images: Size of the training set; epochs are derived from it.
        state: Changed in place, so that the caller can save it at any time.
        on_row: Takes each finished row of metrics.csv.
        on_iteration: Takes the number of completed iterations.

    Returns:
        "finished", or "diverged" where the training loss stopped being finite; the row
        that shows it has been handed to `on_row`.
    """
    network.train()
    if state.iteration >= schedule.iterations:
        return "finished"
    for images, labels in batches:
        started = time.perf_counter()
        rate = learning_rate(schedule, state.iteration, state.warming)
        for group in optimizer.param_groups:
            group["lr"] = rate
        logits = forward(network, images, precision)
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

        # Sums stay on the device: nothing waits for it before a row is due.
        state.loss_sum += loss.detach()
        state.wrong += (logits.detach().argmax(dim=1) != labels).sum()
        state.images += len(labels)
        state.iteration += 1
        last = state.iteration == schedule.iterations
        evaluation_due = last or state.iteration % schedule.eval_every == 0
        row_due = evaluation_due or state.iteration % schedule.log_every == 0
        train_error = None

        if row_due:
            train_error = 100 * int(state.wrong) / state.images
            mean_loss = float(state.loss_sum) * len(labels) / state.images
            diverged = not math.isfinite(mean_loss)
            state.row_seconds += time.perf_counter() - started
            row: Row = {
                "iteration": state.iteration,
                "epoch": state.iteration * len(labels) / train_images,
                "learning_rate": rate,
                "train_loss": mean_loss,
                "train_error": train_error,
                "images_per_second": state.images / state.row_seconds,
            }
            if evaluation_due and not diverged:
                for name, evaluation_batches in evaluations.items():
                    result = evaluate(network, evaluation_batches(), precision)
                    row[f"{name}_loss"], row[f"{name}_error"] = result
            state.seconds += time.perf_counter() - started
            row["seconds"] = state.seconds
            state.loss_sum.zero_()
            state.wrong.zero_()
            state.images = 0
            state.row_seconds = 0.0
            on_row(row)
            if diverged:
                return "diverged"
        else:
            elapsed = time.perf_counter() - started
            state.seconds += elapsed
            state.row_seconds += elapsed

        state.warming = state.warming and still_warming(schedule, state.iteration, train_error)
        on_iteration(state.iteration)
        if last:
            break
    return "finished"

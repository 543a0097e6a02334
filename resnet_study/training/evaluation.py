"""Loss and errors of a network in evaluation mode."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from resnet_study.training.step import forward
from resnet_study.training.world import ALONE, World

# Images in one view or in several, and labels.
Batch = tuple[torch.Tensor | Sequence[torch.Tensor], torch.Tensor]
TOP = 5


@dataclass(frozen=True)
class Scores:
    """What an evaluation found.

    Attributes:
        loss: Mean cross-entropy in nats.
        error: Top-1 error in percent.
        top5_error: Images whose class is not among the five of the highest scores, in
            percent; None where there are no more than five classes.
        images: How many were evaluated.
    """

    loss: float
    error: float
    top5_error: float | None
    images: int


@torch.no_grad()
def evaluate(
    network: nn.Module,
    batches: Iterable[Batch],
    precision: str,
    processes: World = ALONE,
) -> Scores:
    """Evaluates a network, which returns in training mode.

    Of several views of an image the softmax outputs are averaged (Krizhevsky et al. 2012, §4.1).

    Args:
        network: Maps `(N, 3, H, W)` to logits `(N, classes)`.
        batches: Images and labels, each image once: one tensor `(N, 3, H, W)`, or one for
            each view.
        precision: "fp32" or "bf16".
        processes: Those among which the batches are shared out; all call this.
    """
    network.eval()
    device = next(network.parameters()).device
    losses, wrongs, images, many = [], [], 0, 0
    for inputs, labels in batches:
        scores = _scores(network, inputs, precision)
        losses.append(F.cross_entropy(scores, labels, reduction="sum"))
        many = int(scores.shape[1] > TOP)
        among = scores.topk(TOP, dim=1).indices if many else labels[:, None]
        missed = (among != labels[:, None]).all(dim=1).sum()
        wrongs.append(torch.stack([(scores.argmax(dim=1) != labels).sum(), missed]))
        images += len(labels)
    network.train()
    if not images:
        # More processes than batches.
        losses = [torch.zeros((), device=device)]
        wrongs = [torch.zeros(2, dtype=torch.int64, device=device)]
    images, many = processes.total(torch.tensor([images, many])).tolist()
    loss = float(processes.total(torch.stack(losses).double().sum())) / images
    wrong, missed5 = processes.total(torch.stack(wrongs).sum(dim=0)).tolist()
    return Scores(loss, 100 * wrong / images, 100 * missed5 / images if many else None, images)


def _scores(
    network: nn.Module, inputs: torch.Tensor | Sequence[torch.Tensor], precision: str
) -> torch.Tensor:
    """Logits of a view, or the logarithms of the mean probabilities of several."""
    if isinstance(inputs, torch.Tensor):
        return forward(network, inputs, precision)
    logits = [forward(network, view, precision) for view in inputs]
    if len(logits) == 1:
        return logits[0]
    log_probabilities = torch.stack([each.log_softmax(dim=1) for each in logits])
    return log_probabilities.logsumexp(dim=0) - math.log(len(logits))

"""Loss and errors of a network in evaluation mode."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from resnet_study.training.step import forward
from resnet_study.training.world import World

# Images in one view or several, and labels.
Batch = tuple[torch.Tensor | Sequence[torch.Tensor], torch.Tensor]
TOP = 5


@dataclass(frozen=True)
class Scores:
    """Scores of an evaluation.

    Attributes:
        loss: Mean cross-entropy in nats.
        error: Top-1 error in percent.
        top5_error: Percent of images whose class is not among the five highest scores; None
            with five classes or fewer.
        images: Number of images.
    """

    loss: float
    error: float
    top5_error: float | None
    images: int


@torch.no_grad()
def evaluate(
    network: nn.Module, batches: Iterable[Batch], precision: str, world: World | None = None
) -> Scores:
    """Evaluates a network and puts it back into training mode.

    The softmax outputs of several views of an image are averaged (Krizhevsky et al. 2012, §4.1).

    Args:
        network: Maps `(N, 3, H, W)` to logits `(N, classes)`.
        batches: Images and labels, each image once: one tensor `(N, 3, H, W)`, or one per
            view.
        precision: "fp32" or "bf16".
        world: The processes that share the batches; all of them call this.
    """
    network.eval()
    world = world or World()
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
    images, many = world.total(torch.tensor([images, many])).tolist()
    loss = float(world.total(torch.stack(losses).double().sum())) / images
    wrong, missed5 = world.total(torch.stack(wrongs).sum(dim=0)).tolist()
    return Scores(loss, 100 * wrong / images, 100 * missed5 / images if many else None, images)


@torch.no_grad()
def recompute_statistics(
    network: nn.Module, batches: Iterable[torch.Tensor], precision: str
) -> None:
    """Sets batch norm's running statistics to those of mini-batches, as in pycls ("precise BN").

    They become the means over the mini-batches of each one's mean and unbiased variance.

    Args:
        network: In training mode.
        batches: Images `(N, 3, H, W)`, augmented as for training; N is always the same.
        precision: "fp32" or "bf16".
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
    for number, images in enumerate(batches, start=1):
        for norm in norms:
            # The share of a mini-batch in the mean of those so far.
            norm.momentum = 1 / number
        forward(network, images, precision)


def _scores(
    network: nn.Module, inputs: torch.Tensor | Sequence[torch.Tensor], precision: str
) -> torch.Tensor:
    """Logits of one view, or log probabilities averaged over several."""
    if isinstance(inputs, torch.Tensor):
        return forward(network, inputs, precision)
    logits = [forward(network, view, precision) for view in inputs]
    if len(logits) == 1:
        return logits[0]
    log_probabilities = torch.stack([each.log_softmax(dim=1) for each in logits])
    return log_probabilities.logsumexp(dim=0) - math.log(len(logits))

"""Evaluation: several views of an image are one answer, and five may hold the class."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from resnet_study.training.evaluation import evaluate

CLASSES = 10


class Scripted(nn.Module):
    """Gives the logits that an image's first row holds."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.scale * images[:, 0, 0, :CLASSES]


def showing(logits: torch.Tensor) -> torch.Tensor:
    return logits[:, None, None, :].expand(-1, 3, 2, -1).contiguous()


def test_softmax_outputs_of_views_are_averaged():
    generator = torch.Generator().manual_seed(4)
    views = [3 * torch.randn(40, CLASSES, generator=generator) for _ in range(3)]
    labels = torch.randint(0, CLASSES, (40,), generator=generator)
    network = Scripted().train()
    shown = [showing(view) for view in views]
    batches = [
        ([view[start : start + 16] for view in shown], labels[start : start + 16])
        for start in (0, 16, 32)
    ]
    found = evaluate(network, batches, "fp32")
    assert network.training
    mean = torch.stack([view.softmax(dim=1) for view in views]).mean(dim=0)
    expected = -mean[torch.arange(40), labels].log().mean()
    assert found.loss == pytest.approx(float(expected), rel=1e-5)
    order = mean.argsort(dim=1, descending=True)
    wrong = (order[:, 0] != labels).float().mean()
    missed = (order[:, :5] != labels[:, None]).all(dim=1).float().mean()
    assert found.error == pytest.approx(100 * float(wrong))
    assert found.top5_error == pytest.approx(100 * float(missed))
    assert 0 < found.top5_error < found.error
    assert found.images == 40
    # Neither one view nor the mean of the logits has the same answer.
    for other in (views[0], torch.stack(views).mean(dim=0), torch.stack(views).amax(dim=0)):
        single = evaluate(network, [(showing(other), labels)], "fp32")
        assert (single.loss, single.error) != pytest.approx((found.loss, found.error))


def test_one_view_is_the_plain_evaluation():
    logits, labels = torch.randn(20, CLASSES), torch.arange(20) % CLASSES
    one = evaluate(Scripted(), [(showing(logits), labels)], "fp32")
    assert one == evaluate(Scripted(), [([showing(logits)], labels)], "fp32")
    assert one.loss == pytest.approx(float(nn.functional.cross_entropy(logits, labels)), rel=1e-5)


def test_five_classes_have_no_five_best():
    class Few(Scripted):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images)[:, :5]

    logits, labels = torch.randn(20, CLASSES), torch.arange(20) % 5
    assert evaluate(Few(), [(showing(logits), labels)], "fp32").top5_error is None

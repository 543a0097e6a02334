"""Evaluation: one pass, several views of an image are one answer, five may hold the class."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from resnet_study.training.evaluation import evaluate

LABELS = torch.arange(40) % 10


class Scripted(nn.Module):
    """Gives the logits that an image's first row holds, after a batch norm that does nothing."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(classes, eps=0)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.norm(images[:, 0, 0])


def showing(logits: torch.Tensor) -> torch.Tensor:
    return logits[:, None, None, :].expand(-1, 3, 2, -1).contiguous()


@pytest.fixture
def views() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    return [3 * torch.randn(40, 10, generator=generator) for _ in range(3)]


def test_softmax_outputs_of_views_are_averaged(views):
    network = Scripted().train()
    shown = [showing(view) for view in views]
    batches = [
        ([view[start : start + 16] for view in shown], LABELS[start : start + 16])
        for start in (0, 16, 32)
    ]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = evaluate(network, batches, "fp32")
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    mean = torch.stack([view.softmax(dim=1) for view in views]).mean(dim=0)
    assert found.loss == pytest.approx(float(F.nll_loss(mean.log(), LABELS)), rel=1e-5)
    order = mean.argsort(dim=1, descending=True)
    wrong = (order[:, 0] != LABELS).float().mean()
    missed = (order[:, :5] != LABELS[:, None]).all(dim=1).float().mean()
    assert found.error == pytest.approx(100 * float(wrong))
    assert found.top5_error == pytest.approx(100 * float(missed))
    assert 0 < found.top5_error < found.error
    assert found.images == 40
    # Neither one view nor the mean of the logits has the same answer.
    for other in (views[0], torch.stack(views).mean(dim=0), torch.stack(views).amax(dim=0)):
        single = evaluate(network, [(showing(other), LABELS)], "fp32")
        assert (single.loss, single.error) != pytest.approx((found.loss, found.error))


def test_one_view_is_the_plain_evaluation_and_five_classes_have_no_five_best(views):
    one = evaluate(Scripted(), [(showing(views[0]), LABELS)], "fp32")
    assert one == evaluate(Scripted(), [([showing(views[0])], LABELS)], "fp32")
    assert one.loss == pytest.approx(float(F.cross_entropy(views[0], LABELS)), rel=1e-5)
    few = evaluate(Scripted(5), [(showing(views[0][:, :5]), LABELS % 5)], "fp32")
    assert few.top5_error is None


def test_bf16_computes_in_bf16_and_stays_close():
    network, images = nn.Sequential(nn.Flatten(), nn.Linear(48, 10)), torch.randn(40, 3, 4, 4)
    full, half = (evaluate(network, [(images, LABELS)], p).loss for p in ("fp32", "bf16"))
    assert full != half
    assert half == pytest.approx(full, rel=0.02)

"""The constructed deeper sibling computes what the shallow network computes."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from resnet_study.config import ModelConfig
from resnet_study.models import StagedNet, build_network, deepen

IMAGES = torch.randn(64, 3, 16, 16, generator=torch.Generator().manual_seed(1))
IMAGENET = {"architecture": "imagenet", "width": 8}
PLAIN = {"kind": "plain"}


def network(depth: int, seed: int = 1, **settings) -> StagedNet:
    return build_network(ModelConfig(depth=depth, **({"width": 4} | settings)), 10, seed)


def trained(depth: int, **settings) -> StagedNet:
    """A network after some steps, so that batch norm's scales and statistics are not trivial."""
    shallow = network(depth, 0, **settings)
    optimizer = torch.optim.SGD(shallow.parameters(), lr=0.1, momentum=0.9)
    generator = torch.Generator().manual_seed(0)
    for _ in range(8):
        images = torch.randn(32, 3, 16, 16, generator=generator)
        labels = torch.randint(10, (32,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(shallow(images), labels).backward()
        optimizer.step()
    return shallow


@pytest.mark.parametrize(
    ("settings", "shallow", "deep"),
    [
        *((PLAIN, 8, deep) for deep in (14, 20, 110)),
        *(({"shortcut": option}, 8, deep) for option in "ABC" for deep in (14, 110)),
        *(({"layers_per_block": layers}, 20, 38) for layers in (1, 2, 3)),
        *((kind | {"norm": "none"}, 8, 20) for kind in (PLAIN, {})),
        (IMAGENET | PLAIN, 18, 34),
        *((IMAGENET | {"shortcut": option}, 18, 34) for option in "ABC"),
        *((IMAGENET | {"shortcut": option}, 50, 101) for option in "ABC"),
    ],
)
def test_outputs_are_equal_in_evaluation_mode(settings: dict, shallow: int, deep: int):
    one, other = trained(shallow, **settings).eval(), network(deep, **settings).eval()
    with torch.no_grad():
        before, expected = other(IMAGES), one(IMAGES)
        deepen(one, other)
        found = other(IMAGES)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(before, expected, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(("kind", "same"), [("plain", False), ("residual", True)])
def test_in_training_mode_a_plain_sibling_is_another_function_and_both_train_on(kind, same):
    """What the docstring says of the construction's limits."""
    shallow, deep = trained(8, kind=kind), network(20, kind=kind)
    deepen(shallow, deep)
    outputs = deep.train()(IMAGES)
    assert torch.allclose(outputs, shallow.train()(IMAGES), rtol=1e-3, atol=1e-3) == same
    F.cross_entropy(outputs, torch.arange(64) % 10).backward()
    added = [p.grad for n, p in deep.named_parameters() if n.startswith("stages.0.2.")]
    assert all(torch.isfinite(gradient).all() for gradient in added)
    assert any(gradient.norm() > 0 for gradient in added)


@pytest.mark.parametrize(
    ("one", "two", "words"),
    [
        (PLAIN, PLAIN | {"depth": 8}, "is not deeper"),
        ({"shortcut": "C"}, {"shortcut": "A"}, "no place in the deeper one"),
        ({}, {"width": 8}, "no place in the deeper one"),
    ],
)
def test_networks_that_do_not_fit_are_refused(one: dict, two: dict, words: str):
    with pytest.raises(ValueError, match=words):
        deepen(network(8, **one), network(**({"depth": 14} | two)))

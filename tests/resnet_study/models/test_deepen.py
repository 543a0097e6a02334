"""The constructed deeper sibling computes what the shallow network computes."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from resnet_study.config import ModelConfig
from resnet_study.models import build_network, deepen


def trained(kind, shortcut="A", depth=8, **settings):
    """A network after some steps, so that batch norm's scales and statistics are not trivial."""
    config = ModelConfig(kind=kind, depth=depth, shortcut=shortcut, width=4, **settings)
    network = build_network(config, classes=10)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    generator = torch.Generator().manual_seed(0)
    for _ in range(8):
        images = torch.randn(32, 3, 16, 16, generator=generator)
        labels = torch.randint(10, (32,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()
    return network


def deeper(kind, depth, shortcut="A", **settings):
    config = ModelConfig(kind=kind, depth=depth, shortcut=shortcut, width=4, **settings)
    return build_network(config, classes=10, seed=1)


IMAGES = torch.randn(64, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("depth", [14, 20, 56, 110])
@pytest.mark.parametrize("kind, shortcut", [("plain", "A"), *(("residual", o) for o in "ABC")])
def test_outputs_are_equal_in_evaluation_mode(kind, shortcut, depth):
    shallow, deep = trained(kind, shortcut), deeper(kind, depth, shortcut)
    before = deep.eval()(IMAGES)
    deepen(shallow, deep)
    expected = shallow.eval()(IMAGES)
    torch.testing.assert_close(deep.eval()(IMAGES), expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(before, expected, rtol=1e-2, atol=1e-2)
    assert torch.equal(deep(IMAGES).argmax(1), expected.argmax(1))


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_any_span_can_be_deepened(layers):
    shallow = trained("residual", depth=20, layers_per_block=layers)
    deep = deeper("residual", 38, layers_per_block=layers)
    deepen(shallow, deep)
    torch.testing.assert_close(deep.eval()(IMAGES), shallow.eval()(IMAGES), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_networks_without_batch_norm_can_be_deepened_too(kind):
    shallow, deep = trained(kind, norm="none"), deeper(kind, 20, norm="none")
    deepen(shallow, deep)
    torch.testing.assert_close(deep.eval()(IMAGES), shallow.eval()(IMAGES), rtol=1e-4, atol=1e-4)


def test_in_training_mode_a_plain_sibling_is_another_function_and_a_residual_one_is_not():
    """What the docstring says of the construction's limits."""
    for kind, same in (("plain", False), ("residual", True)):
        shallow, deep = trained(kind), deeper(kind, 20)
        deepen(shallow, deep)
        close = torch.allclose(deep.train()(IMAGES), shallow.train()(IMAGES), rtol=1e-3, atol=1e-3)
        assert close == same, kind


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_the_sibling_can_be_trained_on(kind):
    shallow, deep = trained(kind), deeper(kind, 20)
    deepen(shallow, deep)
    F.cross_entropy(deep.train()(IMAGES), torch.arange(64) % 10).backward()
    added = [p.grad for n, p in deep.named_parameters() if n.startswith("stages.0.2.")]
    assert added
    assert all(torch.isfinite(gradient).all() for gradient in added)
    assert any(gradient.norm() > 0 for gradient in added)


def test_networks_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="is not deeper"):
        deepen(trained("plain"), deeper("plain", 8))
    with pytest.raises(ValueError, match="no place in the deeper one"):
        deepen(trained("residual", "C"), deeper("residual", 14, "A"))
    wider = build_network(ModelConfig(depth=14, width=8), classes=10)
    with pytest.raises(ValueError, match="no place in the deeper one"):
        deepen(trained("residual"), wider)

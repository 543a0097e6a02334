"""The constructed deeper sibling computes what the shallow network computes."""

import pytest
import torch

from resnet_study.config import ModelConfig
from resnet_study.models import build_network
from resnet_study.models.deepen import deepen
from resnet_study.models.staged import StagedNet

IMAGES = torch.randn(64, 3, 16, 16, generator=torch.Generator().manual_seed(1))
IMAGENET = {"architecture": "imagenet", "width": 8}
PLAIN = {"kind": "plain"}


def network(depth: int, seed: int = 1, **settings) -> StagedNet:
    return build_network(ModelConfig(depth=depth, **({"width": 4} | settings)), 10, seed)


@torch.no_grad()
def uneven(depth: int, **settings) -> StagedNet:
    """A network with scales, offsets and statistics of batch norm that are not trivial."""
    shallow = network(depth, 0, **settings)
    generator = torch.Generator().manual_seed(0)
    for parameter in shallow.parameters():
        if parameter.ndim == 1:
            parameter += torch.rand(parameter.shape, generator=generator) - 0.5
    shallow(IMAGES)
    return shallow


@pytest.mark.parametrize(
    ("settings", "shallow", "deep"),
    [
        (PLAIN, 8, 110),
        *(({"shortcut": option}, 8, 110) for option in "ABC"),
        ({"layers_per_block": 3}, 20, 38),
        *((kind | {"norm": "none"}, 8, 20) for kind in (PLAIN, {})),
        (IMAGENET | PLAIN, 18, 34),
        (IMAGENET | {"shortcut": "C"}, 50, 101),
    ],
)
def test_outputs_are_equal_in_evaluation_mode(settings: dict, shallow: int, deep: int):
    one, other = uneven(shallow, **settings).eval(), network(deep, **settings).eval()
    with torch.no_grad():
        before, expected = other(IMAGES), one(IMAGES)
        deepen(one.train(), other, [IMAGES])
        found = other(IMAGES)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(before, expected, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("settings", [PLAIN, {"shortcut": "C"}])
def test_in_training_mode_the_sibling_differs_by_the_noise_of_a_mini_batch(settings):
    """Other mini-batches of the same images than those that were measured."""
    shallow, deep = (network(depth, **settings) for depth in (8, 110))
    *measured, seen = torch.randn(9, 256, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        deepen(shallow, deep, measured)
        expected, found = shallow(seen), deep(seen)
    assert (found - expected).std() < 0.1 * expected.std()


def test_what_is_measured_is_averaged_over_the_processes():
    """Here the others' share is such that the means are doubled."""
    shallow, deep = network(8, **PLAIN), network(14, **PLAIN)
    deepen(shallow, deep, [IMAGES], lambda tensor: 2 * tensor)
    alone = network(14, **PLAIN)
    deepen(network(8, **PLAIN), alone, [IMAGES])
    added, expected = (net.stages[1][1].layers[0].bn for net in (deep, alone))
    for name in ("running_mean", "running_var", "bias"):
        torch.testing.assert_close(getattr(added, name), 2 * getattr(expected, name))


def test_networks_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="is not deeper"):
        deepen(network(8), network(8), [])
    with pytest.raises(ValueError, match="no place in the deeper one"):
        deepen(network(8, shortcut="C"), network(14, shortcut="A"), [])

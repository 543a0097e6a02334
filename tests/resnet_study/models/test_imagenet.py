"""The ImageNet family: the paper's Table 1, and torchvision's networks to the last bit."""

import functools

import pytest
import torch
import torchvision

from resnet_study.config import ModelConfig, RunConfig, ScheduleConfig
from resnet_study.models import build_network
from resnet_study.models.architectures import ARCHITECTURES
from resnet_study.models.counting import count_multiply_adds, count_parameters
from resnet_study.models.imagenet import ImageNetNet
from resnet_study.store.space import checkpoint_bytes
from resnet_study.system.errors import ConfigError

# He et al. 2015, Table 1: multiply-adds by depth, in billions, rounded there.
TABLE1 = {18: 1.8, 34: 3.6, 50: 3.8, 101: 7.6, 152: 11.3}
same = functools.partial(torch.testing.assert_close, rtol=0, atol=0)


def model(depth: int, shortcut: str | None = "B", **changes) -> ModelConfig:
    kind = "residual" if shortcut else "plain"
    settings = {"kind": kind, "depth": depth, "shortcut": shortcut, "width": 64}
    return ModelConfig(**(settings | changes), architecture="imagenet")


@pytest.mark.parametrize("depth", TABLE1)
def test_multiply_adds_are_those_of_table_1_and_names_torchvisions(depth: int):
    with torch.device("meta"):
        ours = ImageNetNet(model(depth), 1000)
        theirs = getattr(torchvision.models, f"resnet{depth}")()
    assert count_multiply_adds(ours, 224, 224) / 1e9 == pytest.approx(TABLE1[depth], rel=0.03)
    shapes, others = (
        [(name, tensor.shape) for name, tensor in network.state_dict().items()]
        for network in (ours, theirs)
    )
    assert shapes == others


@pytest.mark.parametrize("depth", [18, 50])
def test_with_torchvisions_stride_it_is_torchvisions_network(depth: int):
    ours = build_network(model(depth, bottleneck_stride="3x3"), 10, fused=False)
    # Without weights of its own, which would take long to draw.
    with torch.device("meta"):
        theirs = getattr(torchvision.models, f"resnet{depth}")(num_classes=10)
    generator = torch.Generator().manual_seed(1)
    weights = {
        # Statistics and parameters of batch norm that change something.
        name: 0.5 + torch.rand(t.shape, generator=generator) if t.ndim == 1 else t.clone()
        for name, t in ours.state_dict().items()
    }
    ours.load_state_dict(weights)
    theirs.load_state_dict(weights, assign=True)
    images = torch.randn(2, 3, 64, 80)
    for network in (ours, theirs):
        network.train()(images).square().sum().backward()
    same([p.grad for p in ours.parameters()], [p.grad for p in theirs.parameters()])
    with torch.no_grad():
        same(ours.eval()(images), theirs.eval()(images))


@pytest.mark.parametrize("depth", TABLE1)
def test_plain_and_residual_networks_differ_in_their_projections_alone(depth: int):
    changing = 4 if model(depth).bottlenecks else 3
    blocks = sum(ARCHITECTURES["imagenet"].blocks(model(depth)))
    plain = build_network(model(depth, None, width=4), 10, seed=3).state_dict()
    for option, count in {None: 0, "A": 0, "B": changing, "C": blocks}.items():
        network = build_network(model(depth, option, width=4), 10, seed=3)
        weights = network.state_dict()
        assert sum(name.endswith("downsample.0.weight") for name in weights) == count
        # Pairs of one seed start from the same weights.
        same({name: weights[name] for name in weights if "downsample" not in name}, plain)


def start(shallow: int, deep: int, kind: str) -> RunConfig:
    model = {"architecture": "imagenet", "depth": deep, "kind": kind}
    return RunConfig.from_mapping({"model": model, "start": {"depth": shallow}})


def test_without_bottlenecks_there_is_no_choice_of_stride():
    assert model(34, bottleneck_stride="3x3") == model(34)
    assert "-stride3x3-" in RunConfig(model=model(50, bottleneck_stride="3x3")).run_id


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            lambda: model(20),
            "must be one of 18, 34, 50, 101, 152 with model.architecture=imagenet",
        ),
        (lambda: ModelConfig(depth=34), "34 is a depth of model.architecture=imagenet"),
        (lambda: model(34, layers_per_block=3), "must be 2 with model.architecture=imagenet"),
        (
            lambda: start(34, 50, "residual"),
            "must be one of 50, with the blocks of 50 layers",
        ),
        (lambda: start(50, 101, "plain"), "a plain bottleneck cannot be an identity"),
    ],
)
def test_what_there_is_not_is_said_in_one_line(wrong, words: str):
    with pytest.raises(ConfigError, match=rf"{words}.*\Z"):
        wrong()


@pytest.mark.parametrize(("optimizer", "kept"), [("sgd", 1), ("adamw", 2)])
@pytest.mark.parametrize("depth", TABLE1)
def test_the_disk_that_a_checkpoint_needs_is_not_underestimated(depth, optimizer, kept):
    with torch.device("meta"):
        network = ImageNetNet(model(depth, "C"), 1000)
    # Weights, what the optimiser keeps of each, and statistics, of four bytes each.
    numbers = (1 + kept) * count_parameters(network) + sum(b.numel() for b in network.buffers())
    config = RunConfig(model=model(depth, "C"), schedule=ScheduleConfig(optimizer=optimizer))
    assert 0.9 < 4 * numbers / checkpoint_bytes(config) < 1

"""The ImageNet family: the paper's Table 1, and torchvision's networks to the last bit."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from resnet_study.config import ModelConfig, RunConfig
from resnet_study.errors import ConfigError
from resnet_study.groups import BOTTLENECK_DEPTHS, IMAGENET_BLOCKS
from resnet_study.models import build_network, count_multiply_adds, count_parameters, deepen
from resnet_study.runs import checkpoint_bytes
from resnet_study.training.checkpoint import Checkpoint, write

DEPTHS = sorted(IMAGENET_BLOCKS)


def model(depth: int, shortcut: str | None = "B", width: int = 64, **changes) -> ModelConfig:
    kind = "plain" if shortcut is None else "residual"
    return ModelConfig(
        kind=kind, depth=depth, shortcut=shortcut, width=width, architecture="imagenet", **changes
    )


def shaken(network: nn.Module) -> None:
    """Gives batch norm statistics and parameters that change something."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                tensor.data.copy_(0.5 + torch.rand(tensor.shape, generator=generator))


@pytest.mark.parametrize("depth", DEPTHS)
def test_with_torchvisions_stride_it_is_torchvisions_network(depth: int):
    ours = build_network(model(depth, bottleneck_stride="3x3"), 1000, fused=False).eval()
    # Without weights of its own, which would take long to draw.
    with torch.device("meta"):
        theirs = getattr(torchvision.models, f"resnet{depth}")().eval()
    shaken(ours)
    weights = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    theirs.load_state_dict(weights, assign=True)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert count_parameters(ours) == sum(p.numel() for p in theirs.parameters())
    images = torch.randn(2, 3, 80, 96)
    with torch.no_grad():
        assert torch.equal(ours(images), theirs(images))
        theirs.fc.weight.mul_(2)
        ours.load_state_dict(theirs.state_dict())
        assert torch.equal(ours(images), theirs(images))


def test_gradients_are_torchvisions_too():
    ours = build_network(model(50, bottleneck_stride="3x3"), 10, fused=False)
    theirs = torchvision.models.resnet50(num_classes=10)
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(2, 3, 64, 64)
    for network in (ours, theirs):
        network(images).square().sum().backward()
    pairs = zip(ours.parameters(), theirs.parameters(), strict=True)
    assert all(torch.equal(one.grad, other.grad) for one, other in pairs)


# He et al. 2015, Table 1, in billions, rounded there.
TABLE1 = {18: 1.8, 34: 3.6, 50: 3.8, 101: 7.6, 152: 11.3}


@pytest.mark.parametrize("depth", DEPTHS)
def test_multiply_adds_are_those_of_table_1(depth: int):
    network = build_network(model(depth), 1000)
    assert count_multiply_adds(network, 224, 224) / 1e9 == pytest.approx(TABLE1[depth], rel=0.03)


def test_the_stride_is_where_the_name_says():
    def strides(which: str) -> list[int]:
        block = build_network(model(50, bottleneck_stride=which), 10).stages[1][0]
        return [layer.conv.stride[0] for layer in block.layers]

    assert strides("1x1") == [2, 1, 1]
    assert strides("3x3") == [1, 2, 1]


def test_without_bottlenecks_there_is_no_choice_of_stride():
    assert model(34, bottleneck_stride="3x3") == model(34)
    assert model(50, bottleneck_stride="3x3") != model(50)
    assert ModelConfig(bottleneck_stride="3x3") == ModelConfig()


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_plain_network_is_the_residual_one_without_shortcuts(depth: int):
    plain = build_network(model(depth, None, width=4), 10, seed=3)
    padded = build_network(model(depth, "A", width=4), 10, seed=3)
    weights, others = plain.state_dict(), padded.state_dict()
    assert list(weights) == list(others)
    # Pairs of one seed start from the same weights.
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    projected = build_network(model(depth, "B", width=4), 10, seed=3).state_dict()
    assert all(torch.equal(weights[name], projected[name]) for name in weights)


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_options_project_where_the_paper_says(depth: int):
    blocks = sum(IMAGENET_BLOCKS[depth])
    changing = 4 if depth in BOTTLENECK_DEPTHS else 3

    def projections(option: str) -> int:
        names = build_network(model(depth, option, width=4), 10).state_dict()
        return sum(name.endswith("downsample.0.weight") for name in names)

    assert [projections(option) for option in "ABC"] == [0, changing, blocks]


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("shortcut", [None, "A", "B", "C"])
def test_depth_counts_the_weighted_layers(depth: int, shortcut: str | None):
    network = build_network(model(depth, shortcut, width=4), 10)
    layers = [m for m in network.modules() if isinstance(getattr(m, "conv", None), nn.Conv2d)]
    assert len(layers) + 1 == depth
    assert network(torch.randn(2, 3, 64, 64)).shape == (2, 10)


def test_activation_checkpointing_gives_the_same_gradients():
    one, other = (
        build_network(model(50, width=8), 10, activation_checkpointing=kept, fused=False)
        for kept in (False, True)
    )
    images = torch.randn(4, 3, 64, 64)
    for network in (one, other):
        network(images).square().sum().backward()
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    assert all(torch.equal(a.grad, b.grad) for a, b in pairs)


@pytest.mark.parametrize("option", [None, "A", "B", "C"])
@pytest.mark.parametrize(("shallow", "deep"), [(18, 34), (50, 101)])
def test_a_deeper_sibling_computes_the_same(shallow: int, deep: int, option: str | None):
    if option is None and shallow == 50:
        return
    one = build_network(model(shallow, option, width=8), 10).eval()
    other = build_network(model(deep, option, width=8), 10, seed=1).eval()
    deepen(one, other)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(one(images), other(images), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: model(20), "model.depth=20: allowed with model.architecture=imagenet are 18, 34"),
        (lambda: ModelConfig(depth=34), "34 is of model=residual_imagenet"),
        (lambda: ModelConfig(depth=18, kind="plain"), "18 is of model=plain_imagenet"),
        (lambda: model(34, layers_per_block=3), "allowed with model.architecture=imagenet is 2"),
        (lambda: model(50, bottleneck_stride="2x2"), "allowed are 1x1, 3x3"),
        (lambda: start(34, 50), "other blocks than 50 layers; allowed are 50"),
        (lambda: start(18, 34, None), None),
        (lambda: start(50, 101, None), "a plain bottleneck cannot be an identity"),
    ],
)
def test_what_there_is_not_is_said_in_one_line(wrong, words: str | None):
    if words is None:
        wrong()
        return
    with pytest.raises(ConfigError) as caught:
        wrong()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def start(shallow: int, deep: int, shortcut: str | None = "B") -> RunConfig:
    return RunConfig.from_mapping(
        {
            "model": {
                "architecture": "imagenet", "depth": deep, "width": 64, "shortcut": shortcut,
                "kind": "residual" if shortcut else "plain",
            },
            "start": {"depth": shallow},
        }
    )  # fmt: skip


def test_ids_say_what_a_reader_looks_for():
    def run_id(**changes) -> str:
        return RunConfig(model=model(**changes)).run_id.rpartition("-")[0]

    assert run_id(depth=34, shortcut="A") == "residual-A-034-imagenet-s0"
    assert run_id(depth=50, bottleneck_stride="3x3") == "residual-B-050-imagenet-stride3x3-s0"
    assert run_id(depth=18, shortcut=None, width=8) == "plain-018-imagenet-w8-s0"


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("option", ["C"])
def test_the_disk_that_a_checkpoint_needs_is_not_underestimated(depth, option, tmp_path):
    config = RunConfig(model=model(depth, option, width=16))
    network = build_network(config.model, 1000)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    path = tmp_path / "checkpoint.pt"
    write(path, Checkpoint({}, "", {}, network.state_dict(), optimizer.state_dict(), {}, ""))
    assert 0.5 < path.stat().st_size / checkpoint_bytes(config) < 1

"""Networks against the paper's counts, formulas of our own, and each other."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from resnet_study.config import ModelConfig
from resnet_study.models import build_network, count_multiply_adds, count_parameters
from resnet_study.models.blocks import BasicBlock
from resnet_study.models.shortcuts import PadShortcut, ProjectionShortcut, build_shortcut

# He et al. 2015, §4.2, worked out for 10 classes; the paper prints 0.27M to 19.4M.
PARAMETERS = {
    20: (269_722, 272_474),
    32: (464_154, 466_906),
    44: (658_586, 661_338),
    56: (853_018, 855_770),
    110: (1_727_962, 1_730_714),
    1202: (19_421_274, 19_424_026),
}


def build(kind="residual", depth=20, seed=0, **options):
    return build_network(ModelConfig(kind=kind, depth=depth, **options), classes=10, seed=seed)


@pytest.mark.parametrize("depth", PARAMETERS)
def test_parameter_counts_equal_the_paper(depth):
    without_projection, with_projection = PARAMETERS[depth]
    if depth == 1202:
        # Building 1202 layers takes long; each further n adds the same layers.
        def count(**options):
            counts = [count_parameters(build(depth=d, **options)) for d in (8, 14)]
            return counts[0] + (1202 - 8) // 6 * (counts[1] - counts[0])
    else:

        def count(**options):
            return count_parameters(build(depth=depth, **options))

    assert count(kind="plain") == without_projection
    assert count(shortcut="A") == without_projection
    assert count(shortcut="B") == with_projection


def test_multiply_adds_equal_the_count_by_hand():
    # Depth 8, 32×32: stem, 2 convolutions on 32², 2 on 16², 2 on 8², head.
    stem = 32 * 32 * 16 * 27
    stage1 = 2 * 32 * 32 * 16 * 16 * 9
    stage2 = 16 * 16 * 32 * 9 * (16 + 32)
    stage3 = 8 * 8 * 64 * 9 * (32 + 64)
    network = build(depth=8)
    assert count_multiply_adds(network, 32, 32) == stem + stage1 + stage2 + stage3 + 640
    projections = 16 * 16 * 32 * 16 + 8 * 8 * 64 * 32
    with_b = count_multiply_adds(build(depth=8, shortcut="B"), 32, 32)
    assert with_b == stem + stage1 + stage2 + stage3 + 640 + projections
    assert network.training
    assert all(p.device.type == "cpu" for p in network.parameters())


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_feature_maps_halve_and_widen(kind):
    network = build(kind, depth=14, width=16)
    x = network.stem(torch.randn(2, 3, 32, 32))
    shapes = []
    for stage in network.stages:
        x = stage(x)
        shapes.append(tuple(x.shape))
    assert shapes == [(2, 16, 32, 32), (2, 32, 16, 16), (2, 64, 8, 8)]
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_weighted_layers_equal_the_depth():
    for depth in (20, 32, 44, 56, 110):
        layers = [
            m for m in build("plain", depth).modules() if isinstance(m, nn.Conv2d | nn.Linear)
        ]
        assert len(layers) == depth
        assert all(m.bias is None for m in layers if isinstance(m, nn.Conv2d))


def test_option_a_equals_an_independent_formula():
    x = torch.randn(3, 4, 6, 6)
    out = PadShortcut(4, 8, stride=2)(x)
    expected = torch.zeros(3, 8, 3, 3)
    for row in range(3):
        for column in range(3):
            expected[:, :4, row, column] = x[:, :, 2 * row, 2 * column]
    assert torch.equal(out, expected)


def test_options_place_projections_where_the_paper_does():
    def kinds(option):
        network = build(depth=14, shortcut=option)
        return [type(block.shortcut) for stage in network.stages for block in stage]

    identity, pad, projection = nn.Identity, PadShortcut, ProjectionShortcut
    assert kinds("A") == [identity, identity, pad, identity, pad, identity]
    assert kinds("B") == [identity, identity, projection, identity, projection, identity]
    assert kinds("C") == [projection] * 6
    assert build_shortcut(None, 4, 8, 2) is None


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_block_whose_last_batch_norm_is_zero_is_its_shortcut(layers):
    block = BasicBlock(8, 8, layers=layers, shortcut="A")
    nn.init.zeros_(block.layers[-1].bn.weight)
    x = torch.randn(2, 8, 5, 5)
    assert torch.equal(block(x), F.relu(x))
    # The ReLU comes after the addition: without it, negative input would pass.
    assert not torch.equal(block(x), x)


def test_a_block_without_shortcut_is_plain():
    block = BasicBlock(8, 8, shortcut=None)
    nn.init.zeros_(block.layers[-1].bn.weight)
    assert torch.equal(block(torch.randn(2, 8, 5, 5)), torch.zeros(2, 8, 5, 5))


@pytest.mark.parametrize("layers", [1, 2, 3, 6])
def test_the_shortcuts_span_can_vary_at_equal_depth(layers):
    network = build(depth=20, layers_per_block=layers)
    blocks = [block for stage in network.stages for block in stage]
    assert len(blocks) * layers == 18
    assert count_parameters(network) == PARAMETERS[20][0]


@pytest.mark.parametrize("scheme", ["he", "xavier"])
@pytest.mark.parametrize("option", ["A", "B", "C"])
def test_plain_and_residual_start_from_the_same_weights(option, scheme):
    """Layer by layer along the main path, so that the comparison is paired."""

    def main_path(network):
        convs = [
            module.weight
            for name, module in network.named_modules()
            if isinstance(module, nn.Conv2d | nn.Linear) and "shortcut" not in name
        ]
        assert len(convs) == 20
        return convs

    plain = main_path(build("plain", 20, seed=3, init=scheme))
    residual = main_path(build("residual", 20, seed=3, init=scheme, shortcut=option))
    assert all(torch.equal(a, b) for a, b in zip(plain, residual, strict=True))
    other = main_path(build("plain", 20, seed=4, init=scheme))
    assert not any(torch.equal(a, b) for a, b in zip(plain, other, strict=True))
    # No two layers of one shape share their weights.
    assert not torch.equal(plain[1], plain[2])


def test_initial_variance_is_that_of_the_stated_fan_mode():
    weights = {scheme: build("plain", 20, width=32, init=scheme) for scheme in ("he", "xavier")}
    for scheme, network in weights.items():
        conv = network.stages[1][0].layers[0].conv
        fan_in, fan_out = 32 * 9, 64 * 9
        expected = 2 / fan_in if scheme == "he" else 2 / (fan_in + fan_out)
        # 18,432 draws: the variance's relative standard error is 1 %.
        assert float(conv.weight.detach().var()) == pytest.approx(expected, rel=0.05)
    assert torch.equal(network.head.bias, torch.zeros(10))

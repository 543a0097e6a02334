"""Networks for small images against the paper's counts, formulas of our own, and each other."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from resnet_study.config import ModelConfig
from resnet_study.models import build_network
from resnet_study.models.architectures import ARCHITECTURES
from resnet_study.models.blocks import Block
from resnet_study.models.counting import count_multiply_adds, count_parameters
from resnet_study.models.shortcuts import PadShortcut, ProjectionShortcut
from resnet_study.models.staged import StagedNet

# He et al. 2015, §4.2, worked out for 10 classes, without and with projections; the paper
# prints 0.27M to 19.4M.
PARAMETERS = {
    20: (269_722, 272_474),
    32: (464_154, 466_906),
    44: (658_586, 661_338),
    56: (853_018, 855_770),
    110: (1_727_962, 1_730_714),
    1202: (19_421_274, 19_424_026),
}

IMAGENET = [(depth, {"architecture": "imagenet"}) for depth in (18, 34, 50, 101, 152)]


def described(depth, shortcut, **options):
    kind = "residual" if shortcut else "plain"
    return ModelConfig(kind=kind, depth=depth, shortcut=shortcut, **options)


def build(kind="residual", depth=20, seed=0, **options):
    return build_network(ModelConfig(kind=kind, depth=depth, **options), classes=10, seed=seed)


@pytest.mark.parametrize("depth", PARAMETERS)
def test_parameters_and_layers_are_as_many_as_in_the_paper(depth):
    without_projection, with_projection = PARAMETERS[depth]
    with torch.device("meta"):
        plain, a, b = (StagedNet(described(depth, shortcut), 10) for shortcut in (None, "A", "B"))
    assert count_parameters(plain) == count_parameters(a) == without_projection
    assert count_parameters(b) == with_projection
    layers = [m for m in plain.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("shortcut", [None, "A", "B", "C"])
@pytest.mark.parametrize("shape", [(20, {}), (20, {"layers_per_block": 3}), *IMAGENET])
def test_the_table_counts_the_parameters_of_what_is_built(shape, shortcut, norm):
    depth, options = shape
    model = described(depth, shortcut, norm=norm, **({"width": 5} | options))
    with torch.device("meta"):
        network = model.design.build(model, 7, activation_checkpointing=False)
    assert model.design.parameters(model, 7) == count_parameters(network)


def test_multiply_adds_equal_the_count_by_hand():
    # Depth 8, 32×32: stem, 2 convolutions on 32², 2 on 16², 2 on 8², head.
    stem = 32 * 32 * 16 * 27
    stage1 = 2 * 32 * 32 * 16 * 16 * 9
    stage2 = 16 * 16 * 32 * 9 * (16 + 32)
    stage3 = 8 * 8 * 64 * 9 * (32 + 64)
    without = stem + stage1 + stage2 + stage3 + 640
    assert count_multiply_adds(build(depth=8), 32, 32) == without
    projections = 16 * 16 * 32 * 16 + 8 * 8 * 64 * 32
    assert count_multiply_adds(build(depth=8, shortcut="B"), 32, 32) == without + projections


def test_option_a_takes_every_second_pixel_and_pads_channels():
    x = torch.randn(3, 4, 6, 6)
    expected = torch.cat([F.avg_pool2d(x, 1, stride=2), torch.zeros(3, 4, 3, 3)], dim=1)
    assert torch.equal(PadShortcut(4, 8, stride=2)(x), expected)


def test_options_place_projections_where_the_paper_does():
    identity, pad, projection = nn.Identity, PadShortcut, ProjectionShortcut
    for option, kinds in {
        "A": [identity, identity, pad, identity, pad, identity],
        "B": [identity, identity, projection, identity, projection, identity],
        "C": [projection] * 6,
    }.items():
        stages = build(depth=14, shortcut=option).stages
        assert [type(block.shortcut) for stage in stages for block in stage] == kinds


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_block_whose_last_batch_norm_is_zero_is_its_shortcut(layers):
    x = torch.randn(2, 8, 5, 5)
    # The ReLU comes after the addition: without it, negative input would pass.
    for shortcut, expected in (("A", F.relu(x)), (None, torch.zeros_like(x))):
        block = Block(described(20, shortcut, layers_per_block=layers), 8, 8)
        nn.init.zeros_(block.layers[-1].bn.weight)
        assert torch.equal(block(x), expected)


@pytest.mark.parametrize("scheme", ["he", "xavier"])
@pytest.mark.parametrize("option", ["A", "B", "C"])
def test_plain_and_residual_start_from_the_same_weights(option, scheme):
    """Layer by layer along the main path, so that the comparison is paired."""

    def main_path(kind, seed=3):
        return [
            module.weight
            for name, module in build(kind, 20, seed, init=scheme, shortcut=option).named_modules()
            if isinstance(module, nn.Conv2d | nn.Linear) and "shortcut" not in name
        ]

    plain = main_path("plain")
    assert len(plain) == 20
    assert all(map(torch.equal, plain, main_path("residual")))
    assert not any(map(torch.equal, plain, main_path("plain", seed=4)))


@pytest.mark.parametrize(("scheme", "fans"), [("he", 32 * 9), ("xavier", (32 + 64) * 9)])
def test_initial_variance_is_that_of_the_stated_fan_mode(scheme, fans):
    network = build("plain", 20, width=32, init=scheme)
    weight = network.stages[1][0].layers[0].conv.weight.detach()
    # 18,432 draws: the variance's relative standard error is 1 %.
    assert float(weight.var()) == pytest.approx(2 / fans, rel=0.05)


@pytest.mark.parametrize(
    ("settings", "deviation"),
    [
        ({}, (2 / 256) ** 0.5),
        ({"init": "xavier"}, (2 / (256 + 1000)) ** 0.5),
        ({"head_std": 0.01}, 0.01),
        ({"init": "xavier", "head_std": 0.01}, 0.01),
    ],
)
def test_the_head_has_a_deviation_of_its_own_where_that_is_asked(settings, deviation):
    network = build_network(ModelConfig(depth=8, width=64, **settings), classes=1000)
    # 256,000 draws: the deviation's relative standard error is 0.1 %.
    assert float(network.head.weight.detach().std()) == pytest.approx(deviation, rel=0.01)
    assert not network.head.bias.any()
    usual = ModelConfig(depth=8, width=64, init=settings.get("init", "he"))
    pairs = zip(network.parameters(), build_network(usual, 1000).parameters(), strict=True)
    apart = [a.ndim for a, b in pairs if not torch.equal(a, b)]
    assert apart == ([2] if "head_std" in settings else [])


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("settings", [{"kind": "plain"}, {"shortcut": "A"}, {"shortcut": "B"}])
def test_every_family_knows_its_parameters(name, settings):
    design = ARCHITECTURES[name]
    for depth in design.depths or (8, 20):
        model = ModelConfig(architecture=name, depth=depth, width=4, **settings)
        counted = design.parameters(model, classes=7)
        assert counted == count_parameters(build_network(model, classes=7)), depth

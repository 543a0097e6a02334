"""Networks are told apart by columns; no name that a user chose is taken apart."""

import pandas as pd

from analysis.figures.style import OTHER_VARIANT, style_of
from analysis.mechanism import constructed_siblings
from analysis.networks import (
    Network,
    add_family,
    family_title,
    networks_in,
    variant_of,
    without_variants,
)
from analysis.page.build import absent_cells
from analysis.protocol import protocols
from resnet_study.config import RunConfig
from tests.analysis.made import study


def test_families_are_named_by_kind_shortcut_and_variant_plain_first():
    usual, other = {("residual-B", 20): [1], ("plain", 20): [1]}, {("plain", 20): [2]}
    frame = pd.concat([study(usual), study(other, variant="Xavier")])
    networks = [Network("plain", None), Network("plain", None, "Xavier"), Network("residual", "B")]
    assert networks_in(frame) == networks
    assert [network.family for network in networks] == ["plain", "plain, Xavier", "residual-B"]
    assert [network.title for network in networks] == ["plain", "plain, Xavier", "residual B"]
    assert set(add_family(frame)["family"]) == {network.family for network in networks}
    assert set(add_family(without_variants(frame))["family"]) == {"plain", "residual-B"}


def test_a_run_to_start_from_may_have_any_name(runs):
    """A run named "8 layers" is no network of 8 layers made deeper."""
    named = runs.assign(variant="from 8 layers")
    assert constructed_siblings(named).empty
    without = named[~((named["kind"] == "plain") & (named["depth"] == 8))]
    assert absent_cells(without) == ["plain, from 8 layers at 8 layers, seed 0, 1"]
    assert family_title("plain, from my-residual-run") == "plain, from my-residual-run"
    network = Network("residual", "A", "from it's, residual-A")
    assert style_of(network)["marker"] == OTHER_VARIANT["marker"]


def test_a_label_with_spaces_stays_whole(tmp_path):
    configs = {
        label: RunConfig.from_mapping(
            {"data": {"name": "image_folder", "root": str(tmp_path), "label": label}}
        )
        for label in ("My photos", "My best photos")
    }
    names = list(protocols(configs, {"My photos": "2031"}))
    assert names == ["data.label=My photos", "data.label=My best photos"]


def test_a_control_without_batch_norm_has_a_rate_of_its_own():
    model, slower = {"norm": "none"}, {"schedule": {"learning_rate": 0.01}}
    configs = {
        "with": RunConfig(),
        "control": RunConfig.from_mapping(slower | {"model": model}),
        "slower": RunConfig.from_mapping(slower),
        "wider": RunConfig.from_mapping({"model": model | {"width": 32}}),
    }
    assert variant_of(configs["control"]) == "no batch norm (rate 0.01)"
    slow = configs.pop("slower")
    groups = protocols(configs, {"with": "2031"})
    assert list(groups.values()) == [["with", "control"], ["wider"]]
    # Beside networks with batch norm of both rates it stands with those of its own.
    both = protocols(configs | {"slower": slow}, {"with": "2031", "slower": "2032"})
    assert ["slower", "control"] in [sorted(ids, reverse=True) for ids in both.values()]

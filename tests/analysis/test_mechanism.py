"""The experiments on why plain networks degrade: statistics and figures."""

import numpy as np
import pytest

from analysis.figures.constructed_sibling import constructed_sibling
from analysis.figures.gradient_flow import gradient_flow
from analysis.figures.layer_responses import layer_responses
from analysis.figures.shattered_gradients import shattered_gradients
from analysis.figures.style import NOT_STARTED
from analysis.load import load_probes, load_runs, read_study
from analysis.mechanism import constructed_siblings, profiles
from analysis.networks import add_family, variant_of
from analysis.tables import costs
from resnet_study.config import RunConfig
from tests.analysis.made import study
from tests.conftest import FIXTURES

RECORDED = FIXTURES / "mechanism"


@pytest.fixture(scope="module")
def runs():
    return load_runs(RECORDED)


@pytest.fixture(scope="module")
def probes():
    return load_probes(RECORDED)


def test_probes_load_beside_the_runs(probes, runs):
    columns = ["iteration", "measure", "position", "name", "value", "started"]
    assert list(probes.columns)[-6:] == columns
    assert set(probes["run_id"]) == set(runs["run_id"])
    layers = probes[(probes["measure"] == "forward_variance") & (probes["depth"] == 14)]
    assert set(layers["position"]) == set(range(1, 14))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ""),
        ({"model": {"layers_per_block": 1}}, "span 1"),
        ({"model": {"init": "xavier", "norm": "none"}}, "Xavier, no batch norm (rate 0.1)"),
        ({"data": {"augment": {"colour": 0.1}}}, "colour 0.1"),
        ({"model": {"depth": 56}, "start": {"depth": 20}}, "from 20 layers"),
        ({"start": {"run": "runs/a/b"}}, "from b"),
        ({"model": {"width": 8}, "seed": 3}, ""),
    ],
)
def test_variants_are_named(changes, expected):
    assert variant_of(RunConfig.from_mapping(changes)) == expected


def test_variants_are_families_of_their_own(runs):
    families = {"plain", "plain, from 8 layers", "residual-A", "residual-A, from 8 layers"}
    table = costs(read_study(RECORDED))
    assert table["n"].tolist() == [2] * 6
    assert set(table["family"]) == set(add_family(runs)["family"]) == families


def test_a_constructed_sibling_stands_beside_its_shallow_network_and_scratch(runs):
    table = constructed_siblings(runs)
    assert table["base"].value_counts().to_dict() == {"plain": 2, "residual-A": 2}
    assert table["constructed"].tolist() == table["shallow"].tolist()
    row = table[(table["base"] == "plain") & (table["seed"] == 0)].iloc[0]
    for column in ("shallow", "scratch"):
        curve = runs[runs["run_id"] == row[f"{column}_run"]]
        assert row[column] == curve["clean_train_error"].dropna().iloc[-1]
    assert "from8" not in row["scratch_run"]


@pytest.mark.parametrize(
    ("measure", "values", "expected"),
    [
        ("activation_gradient_norm", (0.01, 1.0), 0.1),
        ("activation_gradient_norm", (0.0, 1.0), 0.0),
        ("input_gradient_autocorrelation", (-0.49, 0.5), 0.005),
    ],
)
def test_profiles_are_geometric_means_of_norms_and_means_of_the_rest(measure, values, expected):
    layers = study({("plain", 20): values}).assign(position=1, measure=measure)
    found = profiles(layers.assign(value=layers["train_error"]), [measure])["value"]
    assert found.tolist() == pytest.approx([expected] * 10)


def test_figures_draw_the_probes(probes, runs):
    figure = gradient_flow(probes)
    assert [axes.get_title() for axes in figure.axes[:4]] == [
        "plain", "plain,\nfrom 8 layers", "residual A", "residual A,\nfrom 8 layers",
    ]  # fmt: skip
    shallow, _ = figure.axes[0].get_lines()
    expected = profiles(probes, ["activation_gradient_norm"]).query(
        "family == 'plain' and depth == 8 and iteration == 0"
    )
    np.testing.assert_allclose(shallow.get_ydata(), expected["value"])
    assert "After 60 iterations" in gradient_flow(probes, 60).get_supxlabel()
    order, ranked = layer_responses(probes).axes
    assert len(order.get_lines()) == len(ranked.get_lines()) == 6 + 2
    assert all((np.diff(line.get_ydata()) <= 0).all() for line in ranked.get_lines())
    figure = constructed_sibling(runs.assign(started=True))
    bars = figure.axes[0].containers
    assert len(bars) == 4
    assert bars[1][0].get_height() == bars[0][0].get_height()
    assert "Hollow" not in figure.get_supxlabel()
    # As they are, these networks are at chance.
    figure = constructed_sibling(runs)
    assert "Hollow: did not start." in figure.get_supxlabel()
    *_, hollow = figure.axes[0].containers
    assert hollow[0].get_facecolor()[3] == 0
    assert hollow[0].get_height() == bars[3][0].get_height()
    assert constructed_sibling(runs[0:0]).axes
    for draw in (gradient_flow, layer_responses, shattered_gradients):
        assert "embedded shapes" in draw(probes).get_supxlabel()
        assert draw(probes[0:0]).axes


def test_networks_that_did_not_start_are_grey_once_trained_and_do_not_set_the_axis(probes):
    stuck = probes["run_id"].str.startswith("plain-014") & (probes["variant"] == "")
    probes = probes.assign(started=~stuck, value=probes["value"].where(~stuck, 1e5))
    for figure, expected in (
        (layer_responses(probes), 2),
        (gradient_flow(probes, 60), 3),
        (gradient_flow(probes), 0),
    ):
        lines = [line for axes in figure.axes for line in axes.get_lines()]
        assert sum(line.get_color() == NOT_STARTED for line in lines) == expected
        named = [text.get_text() for text in figure.legends[0].get_texts()]
        assert ("did not start" in named) == bool(expected)
    untrained = layer_responses(probes.assign(iteration=0))
    assert NOT_STARTED not in {line.get_color() for line in untrained.axes[0].get_lines()}
    # A response may be beyond all numbers.
    layer_responses(probes.assign(value=np.inf))
    figure = layer_responses(probes)
    assert figure.axes[0].get_ylim()[1] < 100
    assert "Grey: did not start" in figure.get_supxlabel()


def test_the_report_has_what_the_experiment_has(drawn, report):
    found = drawn(RECORDED)
    for name in ("constructed_sibling", "gradient_flow", "shattered_gradients", "layer_responses"):
        for each, expected in ((found, True), (report, False)):
            assert (name in each.printed) == expected
            assert (f'<figure id="{name}">' in each.page.source) == expected
    assert "gradient_flow_at_the_end" in found.printed

"""The experiments on why plain networks degrade: statistics, verdicts and figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.__main__ import main
from analysis.claims import CONTRADICTED, INSUFFICIENT, SUPPORTED, judge
from analysis.figures import (
    constructed_sibling,
    gradient_flow,
    layer_responses,
    shattered_gradients,
)
from analysis.load import (
    DamagedRunWarning,
    costs_of,
    load_probes,
    load_runs,
    read_study,
)
from analysis.mechanism import constructed_siblings, mean_responses, profiles
from analysis.paper import FIGURE7_RESPONSES
from analysis.protocol import variant_of
from analysis.statistics import add_family
from analysis.tables import costs
from analysis.verdict import verdict
from resnet_study.config import RunConfig
from tests.analysis.test_claims import GRID, study

RECORDED = Path(__file__).resolve().parent.parent / "fixtures" / "mechanism"


@pytest.fixture(scope="module")
def runs():
    return load_runs(RECORDED)


@pytest.fixture(scope="module")
def probes():
    return load_probes(RECORDED)


def test_probes_load_beside_the_runs(probes, runs):
    assert list(probes.columns)[-5:] == ["iteration", "measure", "position", "name", "value"]
    assert set(probes["run_id"]) == set(runs["run_id"])
    assert set(probes["iteration"]) == {0, 60}
    layers = probes[(probes["measure"] == "forward_variance") & (probes["depth"] == 14)]
    assert set(layers["position"]) == set(range(1, 14))


def test_a_damaged_probe_file_damages_its_run(tmp_path):
    import shutil

    folder = Path(shutil.copytree(RECORDED, tmp_path / "runs"))
    run = next(folder.glob("plain-008*"))
    (run / "probes.csv").write_text("iteration,measure\n1,2\n")
    with pytest.warns(DamagedRunWarning, match=run.name):
        load_probes(folder)
    assert list(read_study(folder).damaged) == [run.name]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ""),
        ({"model": {"layers_per_block": 1}}, "span 1"),
        ({"model": {"init": "xavier", "norm": "none"}}, "Xavier, no batch norm"),
        ({"data": {"augment": {"colour": 0.1}}}, "colour 0.1"),
        ({"model": {"depth": 56}, "start": {"depth": 20}}, "from 20 layers"),
        ({"start": {"run": "runs/a/b"}}, "from b"),
        ({"model": {"width": 8}, "seed": 3}, ""),
    ],
)
def test_variants_are_named(changes, expected):
    assert variant_of(RunConfig.from_mapping(changes)) == expected


def test_variants_are_families_of_their_own(runs):
    assert set(add_family(runs)["family"]) == {
        "plain",
        "plain, from 8 layers",
        "residual-A",
        "residual-A, from 8 layers",
    }


def test_a_constructed_sibling_stands_beside_its_shallow_network_and_scratch(runs):
    table = constructed_siblings(runs)
    assert len(table) == 4
    assert set(table["base"]) == {"plain", "residual-A"}
    assert table["constructed"].tolist() == table["shallow"].tolist()
    row = table[(table["base"] == "plain") & (table["seed"] == 0)].iloc[0]
    for column, run in (("shallow", "shallow_run"), ("scratch", "scratch_run")):
        curve = runs[runs["run_id"] == row[run]]
        assert row[column] == curve["clean_train_error"].dropna().iloc[-1]
    assert "from8" not in row["scratch_run"]


def siblings(constructed=10.0, scratch=80.0):
    """Runs in which 110 layers are made of 20, with errors as given."""
    runs = study({("plain", 20): [10, 10, 10], ("plain", 110): [scratch] * 3}).assign(variant="")
    deep = runs[runs["depth"] == 110]
    made = deep.assign(
        run_id="from-" + deep["run_id"],
        variant="from 20 layers",
        iteration=deep["iteration"] - 10,
        clean_train_error=constructed,
    )
    return pd.concat([runs, made], ignore_index=True)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, SUPPORTED),
        ({"constructed": 12.0}, CONTRADICTED),
        ({"scratch": 5.0}, CONTRADICTED),
    ],
)
def test_claim_3_turns_on_the_construction_and_on_scratch(changes, expected):
    claim = judge(siblings(**changes))[2]
    assert claim.verdict == expected
    assert claim.n == 3
    assert len(claim.runs) == 9


def test_claim_3_needs_all_three():
    runs = siblings()
    no_shallow = runs[runs["depth"] == 110]
    assert judge(no_shallow)[2].verdict == INSUFFICIENT
    assert judge(runs[runs["variant"] == ""])[2].verdict == INSUFFICIENT
    no_scratch = runs[(runs["variant"] != "") | (runs["depth"] == 20)]
    assert judge(no_scratch)[2].verdict == INSUFFICIENT


def flow(first=0.05, deep_variance=1.0, iteration=0, shallow_iteration=0):
    """Norms that are 0.05 but at the first of 110 layers."""
    rows = []
    for depth in (20, 110):
        for position in range(1, depth):
            deep = depth == 110
            values = {
                "activation_gradient_norm": first if deep and position == 1 else 0.05,
                "forward_variance": deep_variance if deep and position == 7 else 1.0,
            }
            rows += [
                {
                    "depth": depth,
                    "position": position,
                    "measure": measure,
                    "value": value,
                    "iteration": iteration if deep else shallow_iteration,
                }
                for measure, value in values.items()
            ]
    return pd.DataFrame(rows).assign(
        kind="plain", shortcut=pd.NA, variant="", seed=0, run_id="p", state="finished"
    )


@pytest.mark.parametrize(
    ("changes", "expected", "word"),
    [
        ({}, SUPPORTED, "span"),
        ({"first": 1e-5}, CONTRADICTED, "shrinking"),
        ({"first": 1e4}, CONTRADICTED, "growing"),
        ({"first": 0.0}, CONTRADICTED, "shrinking"),
        ({"deep_variance": 0.01}, CONTRADICTED, "variance is 0.01"),
        ({"iteration": 5}, INSUFFICIENT, "at an iteration that both"),
    ],
)
def test_claim_7_turns_on_gradients_and_variance(changes, expected, word):
    claim = judge(study(GRID), flow(**changes))[6]
    assert claim.verdict == expected
    assert word in claim.finding


def test_claim_7_reports_later_looks_and_does_not_judge_by_them():
    late = flow(first=1e-12, iteration=1000, shallow_iteration=1000)
    claim = judge(study(GRID), pd.concat([flow(), late]))[6]
    assert claim.verdict == SUPPORTED
    assert claim.unit == "orders of magnitude"
    assert "at iteration 1000 the smallest norm at 110 layers is 10^-10.7 times" in claim.finding


def test_probes_need_finished_runs_at_two_depths():
    assert judge(study(GRID), flow()[lambda f: f["depth"] == 20])[6].verdict == INSUFFICIENT
    for state in ("running", "failed", "diverged"):
        assert judge(study(GRID), flow().assign(state=state))[6].verdict == INSUFFICIENT


def responses(means):
    rows = [
        {
            "kind": family.partition("-")[0],
            "shortcut": family.partition("-")[2] or pd.NA,
            "depth": depth,
            "position": position,
            "value": value + offset,
            "run_id": f"{family}-{depth}",
        }
        for (family, depth), value in means.items()
        for position, offset in ((1, -0.1), (2, 0.1))
    ]
    frame = pd.DataFrame(rows).astype({"shortcut": "string"})
    return frame.assign(
        variant="", seed=0, iteration=9, measure="response_deviation", state="finished"
    )


def test_the_papers_responses_give_the_papers_verdict():
    found = mean_responses(responses(FIGURE7_RESPONSES)).set_index(["family", "depth"])["response"]
    for cell, value in FIGURE7_RESPONSES.items():
        assert found[cell] == pytest.approx(value)
    assert judge(study(GRID), responses(FIGURE7_RESPONSES))[7].verdict == SUPPORTED
    larger = FIGURE7_RESPONSES | {("residual-A", 56): 1.7}
    assert judge(study(GRID), responses(larger))[7].verdict == CONTRADICTED
    growing = FIGURE7_RESPONSES | {("residual-A", 110): 1.8}
    assert judge(study(GRID), responses(growing))[7].verdict == CONTRADICTED
    tied = FIGURE7_RESPONSES | {("residual-A", 110): 1.6}
    assert judge(study(GRID), responses(tied))[7].verdict == INSUFFICIENT


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([90.1, 90.3, 89.9], SUPPORTED),
        ([8, 8.1, 7.9], CONTRADICTED),
        ([60, 95, 90], INSUFFICIENT),
    ],
)
def test_claim_9_turns_on_the_single_layer(errors, expected):
    single = study({("residual-A", 110): errors}).assign(variant="span 1")
    single["run_id"] = "span1-" + single["run_id"]
    plain = {("plain", 110): [90, 90.2, 89.8], ("residual-A", 110): [8, 8, 8]}
    claim = judge(pd.concat([study(plain).assign(variant=""), single]))[8]
    assert claim.verdict == expected
    assert "two layers per block: -82.0 at 110" in claim.finding


def test_variants_do_not_count_as_the_study_itself():
    """Xavier's plain networks must not enter the degradation of He's."""
    runs = study(GRID).assign(variant="")
    other = study({("plain", 20): [1, 1, 1], ("plain", 110): [1, 1, 1]}).assign(variant="Xavier")
    other["run_id"] = "x-" + other["run_id"]
    both = judge(pd.concat([runs, other]))
    data = {"data": "embedded shapes"}
    answers = [verdict(f.assign(**data))["answer"] for f in (runs, pd.concat([runs, other]))]
    assert answers[0] == answers[1]
    assert [c.effect for c in both] == [c.effect for c in judge(runs)]


def test_profiles_are_geometric_means_of_norms_and_means_of_the_rest():
    frame = flow().query("depth == 20 and measure == 'activation_gradient_norm'")
    two = pd.concat([frame.assign(value=0.01), frame.assign(value=1.0, seed=1)])
    norms = profiles(two, ["activation_gradient_norm"])["value"]
    assert norms.tolist() == pytest.approx([0.1] * 19)
    zero = pd.concat([frame.assign(value=0.0), frame.assign(value=1.0, seed=1)])
    assert profiles(zero, ["activation_gradient_norm"])["value"].tolist() == [0.0] * 19
    lags = two.assign(measure="input_gradient_autocorrelation", value=two["value"] - 0.5)
    assert profiles(lags, ["input_gradient_autocorrelation"])["value"].tolist() == pytest.approx(
        [0.005] * 19
    )


def test_costs_are_of_each_variant_apart():
    table = costs(costs_of(read_study(RECORDED)))
    assert table["n"].tolist() == [2] * 6
    assert "plain, from 8 layers" in set(table["family"])


def test_figures_draw_the_probes(probes, runs):
    figure = gradient_flow(probes)
    assert [axes.get_title() for axes in figure.axes[:4]] == [
        "plain", "plain, from 8 layers", "residual A", "residual A, from 8 layers",
    ]  # fmt: skip
    shallow, _ = figure.axes[0].get_lines()
    expected = profiles(probes, ["activation_gradient_norm"]).query(
        "family == 'plain' and depth == 8 and iteration == 0"
    )
    np.testing.assert_allclose(shallow.get_ydata(), expected["value"])
    assert "Before training" in figure.get_supxlabel()
    assert "After 60 iterations" in gradient_flow(probes, 60).get_supxlabel()

    order, ranked = layer_responses(probes).axes
    assert len(order.get_lines()) == len(ranked.get_lines()) == 6 + 2
    for line in ranked.get_lines():
        assert (np.diff(line.get_ydata()) <= 0).all()
    assert {line.get_linestyle() for line in order.get_lines()} == {"--", "-"}

    for axes in shattered_gradients(probes).axes:
        lines = [line for line in axes.get_lines() if len(line.get_xdata()) > 2]
        assert all(line.get_ydata()[0] == pytest.approx(1) for line in lines)

    bars = constructed_sibling(runs).axes[0].containers
    assert len(bars) == 4
    made, alone = bars[1][0].get_height(), bars[0][0].get_height()
    assert made == alone


def test_figures_of_nothing_are_drawn_too(probes, runs):
    for draw in (gradient_flow, layer_responses, shattered_gradients):
        assert draw(probes[0:0]).axes
    assert constructed_sibling(runs[0:0]).axes


def test_the_report_has_what_the_experiment_has(tmp_path):
    assert main([str(RECORDED), "--output", str(tmp_path)]) == 0
    names = {path.stem for path in tmp_path.glob("*.pdf")}
    mechanism = {"constructed_sibling", "gradient_flow", "gradient_flow_at_the_end"}
    assert mechanism | {"shattered_gradients", "layer_responses"} <= names
    page = (tmp_path / "index.html").read_text()
    for name in ("constructed_sibling", "gradient_flow", "shattered_gradients", "layer_responses"):
        assert f'id="spec-{name}"' in page
    fixtures = RECORDED.parent / "runs"
    assert main([str(fixtures), "--output", str(tmp_path / "other")]) == 0
    assert not (tmp_path / "other" / "gradient_flow.pdf").exists()
    assert 'id="spec-gradient_flow"' not in (tmp_path / "other" / "index.html").read_text()

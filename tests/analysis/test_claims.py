"""Verdicts on what is known: the paper's own curves, whole and cut, and the records."""

import json

import numpy as np
import pandas as pd
import pytest

from analysis.cells import Cells, cells_of
from analysis.claims import CLAIMS, judge
from analysis.load import read_study
from analysis.paper import TABLE6_TEST_ERROR, figure6_curves
from analysis.statistics import final_errors
from analysis.verdict import verdict
from tests.analysis import summaries
from tests.analysis.made import GRID, RECORDED, cell, change, change_curve, study
from tests.analysis.spreads import made
from tests.conftest import CHECKOUT

# Figure 7, standard deviation of layer responses, mean over layers.
RESPONSES = {
    ("plain", 20): 1.82,
    ("plain", 56): 1.52,
    ("residual-A", 20): 1.62,
    ("residual-A", 56): 1.13,
    ("residual-A", 110): 0.99,
}


def statements(cells: Cells) -> dict[str, str]:
    """Each verdict in words, without those on what was not run."""
    found = {verdict.label: verdict.statement for verdict in judge(cells)}
    return {k: words for k, words in found.items() if not words.startswith("not testable: not run")}


def test_the_papers_curves_support_the_papers_claims():
    curves = figure6_curves()
    cells = cells_of(curves)
    found = {verdict.label: verdict.outcome for verdict in judge(cells) if verdict.outcome}
    assert statements(cells) == dict.fromkeys(["1", "2", "4-A", "5a", "5b"], "supported")
    low, high = found["1"].effect.bounds()
    assert (low + high) / 2 == pytest.approx(4.28, abs=0.01)
    assert (high - low) / 2 == pytest.approx(0.42, abs=0.01)
    assert found["4-A"].effect.value == pytest.approx(-0.59, abs=0.01)
    assert "changes by +4.8 points" in found["4-A"].finding
    shares = "20 % after 0.67, 15 % after 0.57, 10 % after 0.51"
    assert shares in found["5a"].finding
    # Residual test errors agree with Table 6 to about 0.1 points.
    ends = final_errors(curves).set_index(["kind", "depth"])
    for depth in (20, 32, 44, 56, 110):
        error = ends.loc[("residual", depth), "test_error"]
        assert error == pytest.approx(TABLE6_TEST_ERROR[depth], abs=0.2)


def test_the_papers_responses_support_claim_8():
    means = RESPONSES.items()
    cells = [cell(*network, 1, response={0: mean}) for network, mean in means]
    assert statements(Cells({(c.family, c.depth): c for c in cells}))["8"] == "supported"


def cut(iteration: int, seeds: int) -> pd.DataFrame:
    """Figure 6 until an iteration: as one seed, or as several by adding what seeds differ by."""
    curves = figure6_curves()
    curves = curves[curves["iteration"] <= iteration]
    rng = np.random.default_rng([iteration, seeds])
    parts = []
    for seed in range(seeds):
        part = curves.assign(seed=seed, run_id=curves["run_id"] + f"-{seed}")
        networks = part["run_id"].unique()
        for column, spread in (("train_error", 0.1), ("test_error", 0.25)):
            offsets = rng.normal(0, spread if seeds > 1 else 0, len(networks))
            part[column] += part["run_id"].map(dict(zip(networks, offsets, strict=True)))
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def contradictions(every: int) -> list[str]:
    """Verdicts against the paper from its own curves, cut at each of these iterations."""
    return [
        f"{iteration}, {seeds} seeds: {label}"
        for iteration in range(1000, 64_000, every)
        for seeds in (1, 3)
        for label, words in statements(cells_of(cut(iteration, seeds))).items()
        if words == "contradicted"
    ]


def test_the_papers_curves_cut_off_contradict_nothing():
    assert contradictions(every=7000) == []
    # Nor are they silent: what the whole curves support, they support from early on.
    found = statements(cells_of(cut(36_000, 3)))
    assert found == dict.fromkeys(["1", "2", "4-A", "5a", "5b"], "supported")


@pytest.mark.slow
def test_the_papers_curves_cut_off_anywhere_contradict_nothing():
    assert contradictions(every=1000) == []


AT = {"quick": "supported at 0.9 % of the paper's training"}
AT |= {"short": AT["quick"].replace("0.9", "3.8")}
MORE = "0.9 % of the paper's training, a quarter is needed"
SHORT = "too short: 0.9 % of the paper's training, a half is needed"


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ("quick", dict.fromkeys(["1", "2", "4-A", "5a", "5b", "6"], AT["quick"])),
        ("quick", {"4-B": "undecided: the interval spans the margin"}),
        ("short", dict.fromkeys(["1", "2", "5a"], AT["short"])),
        ("short", dict.fromkeys(["4-A", "4-B", "5b", "6"], "undecided: one seed")),
        ("identity", {"3": AT["quick"]}),
        ("identity_jpeg", {"3": "undecided: one seed"}),
        ("gradients", {"7": AT["quick"]}),
        ("gradients_jpeg", {"7": "undecided: one seed"}),
        ("span", {"9": f"undecided (the runs speak against it): one seed; {MORE}"}),
        ("responses", {"8": f"not testable: {SHORT}"}),
        ("responses_jpeg", {"8": f"not testable: {SHORT}"}),
        ("thousand", {"10": "not testable: did not start: residual A at 1202 layers"}),
        ("options", {"6": AT["quick"], "4-B": "undecided: one seed"}),
    ],
)
def test_records_give_the_verdicts_that_they_can_bear(record, expected):
    found = statements(summaries.read(record))
    assert {label: found[label] for label in expected} == expected
    assert "contradicted" not in found.values()


@pytest.mark.parametrize(
    ("record", "label", "words"),
    [
        ("quick", "1", "from 20 to 56 layers: +67.7 points [+52.1, +83.2]"),
        ("quick", "4-B", "+9.2 points [+6.4, +12.1], limit 6.8"),
        ("gradients", "7", "V from -1.33 to -0.32"),
        ("gradients_jpeg", "7", "V from -1.53 to "),
    ],
)
def test_findings_have_the_numbers(record, label, words):
    (found,) = [v for v in judge(summaries.read(record)) if v.label == label]
    assert words in found.outcome.finding


RUNS = study(GRID)


@pytest.mark.parametrize(
    "runs",
    [
        RUNS.assign(seed=RUNS["seed"] + RUNS["depth"]),
        RUNS.assign(test_error=np.nan),
        RUNS.assign(train_error=np.nan),
        RUNS.assign(state="diverged"),
        RUNS[RUNS["shortcut"] == "B"],
        RUNS.assign(iteration=RUNS["iteration"] - 10, train_error=49.5),
    ],
)
@pytest.mark.filterwarnings("error")
def test_whatever_is_missing_verdicts_are_strict_json(runs):
    found = verdict(runs)
    json.dumps(found, allow_nan=False)
    assert "contradicted" not in {claim["verdict"] for claim in found["claims"]}


@pytest.mark.parametrize("left", [[], [0]])
def test_a_run_that_failed_before_its_first_row_is_told_as_one_that_failed_later(left, folder):
    failing = [run for run in folder.iterdir() if "residual-A-014" in run.name]
    for run in failing:
        change_curve(run, lambda frame: frame.iloc[left])
        change(run, state="failed")
    part = read_study(folder)
    found = verdict(part.runs, part.probes, part.each)
    seeds = {(cell["family"], cell["depth"]): cell["seeds"] for cell in found["not_started"]}
    assert seeds["residual-A", 14] == {0: "failed", 1: "failed"}
    assert "Not finished (failed): residual A at 14 layers." in found["remarks"]
    assert found["left_out"] == {run.name: "failed" for run in failing}


def test_a_saved_summary_is_that_of_its_record(tmp_path, monkeypatch):
    before = cells_of(read_study(RECORDED).runs)
    monkeypatch.setattr(summaries, "FOLDER", tmp_path)
    summaries.write(RECORDED)
    after = summaries.read(RECORDED.name)
    assert after.cells.keys() == before.cells.keys()
    for key, each in after.cells.items():
        assert each.final["gap"] == pytest.approx(before[key].final["gap"], rel=1e-4, abs=1e-4)
        assert each.training == pytest.approx(before[key].training, rel=1e-4)
        assert (each.runs, each.why_not, each.iterations) == (
            before[key].runs, before[key].why_not, before[key].iterations,
        )  # fmt: skip


def test_the_rate_of_another_optimiser_counts_as_a_share_of_its_highest():
    """AdamW's is a hundredth of SGD's, and trains a network no less."""
    sgd = cells_of(study(GRID, learning_rate=0.1, phase=0))
    adamw = "schedule.learning_rate=0.001 schedule.optimizer=adamw"
    other = cells_of(study(GRID, learning_rate=0.001, phase=0, settings=adamw))
    slow = cells_of(study(GRID, learning_rate=0.001, phase=0))
    for key, each in sgd.cells.items():
        assert each.training == pytest.approx(other.cells[key].training)
        assert each.training == pytest.approx(100 * slow.cells[key].training)


def test_spreads_are_those_of_the_records():
    saved = pd.read_csv(CHECKOUT / "analysis" / "data" / "spreads.csv")
    pd.testing.assert_frame_equal(saved, made().reset_index(drop=True))


def test_rules_are_whole_and_know_no_frames():
    assert [f"{claim.number}{claim.part}" for claim in CLAIMS] == [
        "1", "2", "3", "4", "5a", "5b", "6", "7", "8", "9", "10",
    ]  # fmt: skip
    for claim in CLAIMS:
        assert claim.title.endswith(".")
        for heading in ("Quantity", "Testable", "Supported", "Against", "Paper"):
            assert claim.says(heading)
        for experiment in (claim.experiment, claim.at_scale):
            assert (CHECKOUT / "conf" / "experiment" / f"{experiment}.yaml").is_file()
    for module in (CHECKOUT / "analysis" / "claims").glob("*.py"):
        assert "pandas" not in module.read_text("utf-8"), module

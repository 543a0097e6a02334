"""The page as a document: complete, self-contained, and safe from the text of runs."""

import html
import re

import pytest

from analysis.load import read_study
from analysis.page.build import absent_cells
from analysis.statistics import final_errors
from tests.analysis.made import RECORDED, change


def test_the_page_needs_nothing_else_and_is_small(report):
    page = report.page
    assert len(page.source.encode()) < 6_000_000
    assert page.addresses
    for address in page.addresses:
        assert address.startswith(("#", "data:")), address
    assert {address[1:] for address in page.addresses if address[0] == "#"} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_the_page_answers_first_and_holds_every_part(report, runs):
    text = report.page.text
    places = [text.index(part) for part in (
        report.verdict["answer"], "The paper’s ten claims", "Learning curves", "Final errors",
        "Every run", "What is missing or damaged",
    )]  # fmt: skip
    assert places == sorted(places)
    for claim in report.verdict["claims"]:
        rule = claim["rule"].values()
        words = [claim[name] for name in ("label", "claim", "statement", "quantity", "paper")]
        assert all(part in text for part in (*words, *rule))
    assert "Nothing: every network of the grid has finished" in text
    assert absent_cells(runs) == []
    part = runs[~((runs["kind"] == "plain") & (runs["depth"] == 14))]
    assert absent_cells(part) == ["plain at 14 layers, seed 0, 1"]


def test_the_page_holds_every_run_with_its_settings_and_curve(report):
    source, study = report.page.source, read_study(RECORDED)
    finals = final_errors(study.runs).set_index("run_id")
    for run_id, config in study.configs.items():
        part = source[source.index(f'id="run-{run_id}"') :].partition("</details>")[0]
        assert f">model.depth</th><td>{config.model.depth}<" in part
        assert f">seed</th><td>{config.seed}<" in part
        commit = study.manifests[run_id]["commit"]
        assert f">commit</th><td>{commit}<" in part
        assert ">schedule.iterations</th>" not in part
        assert "finished" in part
        assert part.count("<polyline") == 2
        points = re.search(r'<polyline class="training" points="([^"]+)"', part)[1].split()
        x, y = map(float, points[-1].split(","))
        last = study.runs[study.runs["run_id"] == run_id]["train_error"].iloc[-1]
        assert (x, y) == (300, pytest.approx(80 * (1 - last / 100), abs=0.06))
        assert f"<td>{finals.loc[run_id, 'train_error']:.2f}</td>" in source
    assert f"Made by commit {commit}" in " ".join(source.split())
    shared = source[source.index("Settings that all runs share") :]
    assert ">schedule.iterations</th><td>120<" in shared


def test_text_from_a_run_cannot_become_markup_and_a_page_needs_no_finished_run(folder, drawn):
    """A label is the user's; it may hold what HTML and JSON in HTML would choke on."""
    label = "</script><b>x & y"
    for run in folder.iterdir():
        config = run / "config.yaml"
        config.write_text(config.read_text().replace("label: null", f"label: '{label}'"))
        change(run, state="running")
    page = drawn(folder).page
    assert label not in page.source
    assert html.escape(label) in page.source
    assert label in page.text
    assert "missing" in page.ids
    assert "so depth cannot be compared" in page.text

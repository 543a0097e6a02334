"""The page as a document: complete, self-contained, and the same for the same runs."""

from __future__ import annotations

import html
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from analysis.__main__ import main
from analysis.load import read_study
from analysis.page.build import absent_cells
from analysis.statistics import final_errors
from tests.analysis.conftest import RECORDED

SIX_MEGABYTES = 6_000_000


class Reader(HTMLParser):
    """Collects what a page refers to, its ids, and its visible text."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.text: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "link", "input", "br", "path", "polyline"):
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href"):
                self.addresses.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_endtag(self, tag):
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.text.append(data)


def read(page: Path) -> Reader:
    reader = Reader()
    reader.feed(page.read_text())
    return reader


def words(reader: Reader) -> str:
    return " ".join(" ".join(reader.text).split())


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(RECORDED, tmp_path / "tiny"))


@pytest.fixture
def page(folder):
    assert main([str(folder)]) == 0
    return folder / "report" / "index.html"


def test_the_page_needs_nothing_else_and_is_small(page):
    assert page.stat().st_size < SIX_MEGABYTES
    reader = read(page)
    assert reader.addresses
    for address in reader.addresses:
        assert address.startswith(("#", "data:")), address
    inside = [address[1:] for address in reader.addresses if address.startswith("#")]
    assert set(inside) <= set(reader.ids)
    assert len(reader.ids) == len(set(reader.ids))


def test_the_page_answers_first_and_holds_every_part(page):
    text = words(read(page))
    verdict = json.loads((page.parent / "verdict.json").read_text())
    places = [text.index(part) for part in (
        verdict["answer"], "The paper’s ten claims", "Learning curves", "Final errors",
        "Every run", "What is missing or damaged",
    )]  # fmt: skip
    assert places == sorted(places)
    for claim in verdict["claims"]:
        assert claim["claim"] in text
        assert claim["rule"] in text
        assert claim["finding"] in text
    assert "embedded shapes" in text
    assert "Nothing: every network of the grid has finished" in text


def test_the_page_holds_every_run_with_its_settings_and_curve(page, folder):
    source = page.read_text()
    study = read_study(folder)
    finals = final_errors(study.runs).set_index("run_id")
    for run_id, config in study.configs.items():
        part = source[source.index(f'id="run-{run_id}"') :]
        part = part[: part.index("</details>")]
        assert f">model.depth</th><td>{config.model.depth}<" in part
        assert f">seed</th><td>{config.seed}<" in part
        assert "finished" in part
        assert part.count("<polyline") == 2
        assert f"<td>{finals.loc[run_id, 'train_error']:.2f}</td>" in source
        commit = study.manifests[run_id]["commit"]
        assert f">commit</th><td>{commit}<" in part
    assert f"Made by commit {commit}" in " ".join(source.split())
    shared = source[source.index("Settings that all runs share") :]
    assert ">schedule.iterations</th><td>120<" in shared
    assert ">schedule.iterations</th>" not in part


def test_a_curve_in_the_page_ends_where_the_run_ends(page, folder):
    study = read_study(folder)
    run = study.runs[study.runs["run_id"] == study.runs["run_id"].iloc[0]]
    source = page.read_text()
    part = source[source.index(f'id="run-{run["run_id"].iloc[0]}"') :]
    points = re.search(r'<polyline class="training" points="([^"]+)"', part)[1].split()
    x, y = points[-1].split(",")
    assert float(x) == 300
    assert float(y) == pytest.approx(80 * (1 - run["train_error"].iloc[-1] / 100), abs=0.06)


def test_what_is_missing_or_damaged_is_on_the_page(folder):
    broken, running, gone, failed = (next(folder.glob(f"{n}*s0*")) for n in (
        "plain-008", "plain-014", "residual-A-008", "residual-B-014",
    ))  # fmt: skip
    (broken / "manifest.json").write_text("{")
    for run, state in ((running, "running"), (failed, "failed")):
        manifest = json.loads((run / "manifest.json").read_text())
        (run / "manifest.json").write_text(json.dumps(manifest | {"state": state}))
    (failed / "failure.txt").write_text("Traceback\n  somewhere\nRuntimeError: <out of luck>\n")
    shutil.rmtree(gone)
    assert main([str(folder)]) == 0
    text = words(read(folder / "report" / "index.html"))
    missing = text[text.index("What is missing or damaged") :]
    assert f"{broken.name} :" in missing
    assert "cannot be read" in missing
    assert f"{running.name} : running" in missing
    assert f"{failed.name} : failed" in missing
    assert "residual A at 8 layers, seed 0" in missing
    assert "RuntimeError: <out of luck>" in text
    assert "residual A at 8 layers, seed 1" not in missing


def test_absent_cells_are_those_of_the_full_grid(runs):
    assert absent_cells(runs) == []
    part = runs[~((runs["kind"] == "plain") & (runs["depth"] == 14))]
    assert absent_cells(part) == ["plain at 14 layers, seed 0, 1"]


def test_text_from_a_run_cannot_become_markup(folder):
    """A label is the user's; it may hold what HTML and JSON in HTML would choke on."""
    label = "</script><b>x & y"
    for config in folder.glob("*/config.yaml"):
        config.write_text(config.read_text().replace("label: null", f"label: '{label}'"))
    assert main([str(folder)]) == 0
    page = folder / "report" / "index.html"
    assert label not in page.read_text()
    assert html.escape(label) in page.read_text()
    reader = read(page)
    assert label in words(reader)
    assert "missing" in reader.ids


def test_a_watched_page_reloads_itself_and_others_do_not(page, folder):
    from analysis.report import write_report

    assert 'http-equiv="refresh"' not in page.read_text()
    write_report(read_study(folder), folder / "watched", refresh=7)
    source = (folder / "watched" / "index.html").read_text()
    assert '<meta http-equiv="refresh" content="7">' in source


def test_a_page_can_be_made_while_nothing_has_finished(folder):
    for manifest in folder.glob("*/manifest.json"):
        values = json.loads(manifest.read_text())
        manifest.write_text(json.dumps(values | {"state": "running"}))
    assert main([str(folder)]) == 0
    text = words(read(folder / "report" / "index.html"))
    assert "there is no answer" in text

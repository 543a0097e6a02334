"""Studies side by side, and the folders of several hosts merged into one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pandas as pd
import pytest

from analysis.figures import side_by_side
from analysis.load import read_studies, read_study
from analysis.statistics import final_errors
from tests.analysis.conftest import Page
from tests.analysis.made import RECORDED, RUN, change, change_curve
from tests.conftest import CHECKOUT


def lower(frame):
    return frame.assign(train_error=frame["train_error"].astype(float) - 10)


@pytest.fixture
def studies(tmp_path):
    """Two folders: the recorded plain runs, and the same with errors ten points lower."""
    plain = shutil.ignore_patterns("residual-*")
    folders = [shutil.copytree(RECORDED, tmp_path / n, ignore=plain) for n in ("one", "two")]
    for run in folders[1].iterdir():
        change_curve(run, lower)
    return folders


def test_two_studies_are_set_side_by_side(studies, drawn):
    report = drawn(*studies)
    assert f"page: {report.output}/index.html" in report.printed
    assert "side_by_side.pdf" in report.printed
    table = report.table("comparison")
    assert set(table["comparison"]) == {"two minus one"}
    training, test = (table[table["error"] == error] for error in ("training", "test"))
    assert training["difference"].tolist() == pytest.approx([-10] * 2)
    assert (training["n"] == 2).all()
    assert test["difference"].tolist() == [0] * 2
    assert (report.output / "comparison.tex").is_file()
    assert {"one/index.html", "two/index.html"} <= set(report.page.addresses)
    for name in ("one", "two"):
        verdict = json.loads((report.output / name / "verdict.json").read_text())
        assert verdict["answer"] in report.page.text
    assert "../index.html" in Page(report.output / "one" / "index.html").addresses


def test_the_figure_has_a_column_per_study_on_shared_axes(studies):
    runs = pd.concat([s.runs.assign(study=s.name) for s in read_studies(studies)])
    figure = side_by_side(runs)
    top = figure.axes[:2]
    assert [axes.get_title() for axes in top] == ["one", "two"]
    assert top[0].get_ylim() == top[1].get_ylim()
    finals = final_errors(runs[runs["study"] == "two"])
    plain = finals[finals["family"] == "plain"].groupby("depth")["train_error"].mean()
    line = next(line for line in top[1].get_lines() if line.get_label() == "plain")
    assert list(line.get_ydata()) == pytest.approx(plain.tolist())
    for name in ("one", "two"):
        assert f"{name}: Data: embedded shapes" in figure.get_supxlabel()


def test_studies_of_one_name_are_told_apart_by_their_folders(tmp_path):
    places = [tmp_path / host / "quick" for host in ("left", "right")]
    for place in places:
        shutil.copytree(RECORDED / RUN, place / RUN)
    assert [s.name for s in read_studies(places)] == ["left/quick", "right/quick"]


@pytest.mark.slow
@pytest.mark.parametrize("better", ["hostA", "hostB"])
@pytest.mark.parametrize(
    ("taken", "left"), [("finished", "running"), ("finished", "diverged"), ("diverged", "failed")]
)
def test_the_documented_command_merges_whole_run_folders(taken, left, better, tmp_path):
    """The better copy is taken wherever it lies, and nothing of the other comes with it."""
    (command,) = re.findall(
        r"```\n(mkdir .*?)```", (CHECKOUT / "README.md").read_text("utf-8"), flags=re.DOTALL
    )
    (tmp_path / "runs").mkdir()
    for host, other in (("hostA", "plain-014*-s0-*"), ("hostB", "plain-014*-s1-*")):
        place = tmp_path / host / "runs" / "figure6"
        for run in (RECORDED / RUN, next(RECORDED.glob(other))):
            shutil.copytree(run, place / run.name)
        (place / RUN / f"only-on-{host}").touch()
        (place / "report").mkdir()
        change(place / RUN, state=taken if host == better else left)
        change(place / next(RECORDED.glob(other)).name, state="running")
    subprocess.run(["sh", "-ec", command], cwd=tmp_path, check=True)
    merged = tmp_path / "runs" / "figure6"
    files = {"config.yaml", "manifest.json", "metrics.csv", f"only-on-{better}"}
    assert {path.name for path in (merged / RUN).iterdir()} == files
    states = read_study(merged).states
    assert states.pop(RUN) == taken
    assert list(states.values()) == ["running", "running"]
    assert len(list(merged.iterdir())) == 3
    again = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True)
    assert again.returncode != 0, "an earlier merge must not be mixed with this one"

"""Studies side by side, and the folders of several hosts merged into one."""

import json
import re
import shutil
import subprocess

import pandas as pd
import pytest

from analysis.figures.side_by_side import side_by_side
from analysis.load import read_studies, read_study
from analysis.statistics import final_errors
from resnet_study.system.errors import StudyError
from tests.analysis.conftest import Page
from tests.analysis.made import RECORDED, RUN, RUNS, change, change_curve
from tests.conftest import CHECKOUT


def test_two_studies_are_set_side_by_side_on_shared_axes(drawn, runs, tmp_path):
    """The recorded plain runs, and the same with training errors ten points lower."""
    plain = shutil.ignore_patterns("residual-*")
    folders = [shutil.copytree(RECORDED, tmp_path / n, ignore=plain) for n in ("one", "two")]
    for run in folders[1].iterdir():
        change_curve(run, lambda f: f.assign(train_error=f["train_error"].astype(float) - 10))
    report = drawn(*folders)
    assert f"page: {report.output}/index.html" in report.printed
    assert "side_by_side" in report.printed
    table = report.table("comparison")
    assert set(table["comparison"]) == {"two minus one"}
    training, test = (table[table["error"] == error] for error in ("training", "test"))
    assert training["difference"].tolist() == pytest.approx([-10] * 2)
    assert (training["n"] == 2).all()
    assert test["difference"].tolist() == [0] * 2
    assert (report.output / "comparison.tex").is_file()
    for name in ("one", "two"):
        assert f"{name}/index.html" in report.page.addresses
        verdict = json.loads((report.output / name / "verdict.json").read_text())
        assert verdict["answer"] in report.page.text
    assert "../index.html" in Page(report.output / "one" / "index.html").addresses
    figure = side_by_side(pd.concat([s.runs.assign(study=s.name) for s in read_studies(folders)]))
    one, two = figure.axes[:2]
    assert (one.get_title(), two.get_title()) == ("one", "two")
    assert one.get_ylim() == two.get_ylim()
    means = final_errors(runs[runs["kind"] == "plain"]).groupby("depth")["train_error"].mean()
    for axes, lower in ((one, 0), (two, 10)):
        line = next(line for line in axes.get_lines() if line.get_label() == "plain")
        assert list(line.get_ydata()) == pytest.approx((means - lower).tolist())
        assert f"{axes.get_title()}: Data: embedded shapes" in figure.get_supxlabel()


def test_studies_of_one_name_are_told_apart_by_their_folders(tmp_path):
    places = [tmp_path / host / "quick" for host in ("left", "right")]
    for place in places:
        shutil.copytree(RECORDED / RUN, place / RUN)
    assert [s.name for s in read_studies(places)] == ["left/quick", "right/quick"]


def test_runs_of_one_protocol_must_have_seen_the_same_images(folder):
    other = folder / RUNS[-1].name
    change(other, data={"fingerprint": "f00"})
    words = f"run={other}: was trained on other images .fingerprint f00. than {RUN} .fingerprint "
    with pytest.raises(StudyError, match=words):
        read_study(folder)
    # A run that failed before it had images contradicts nobody, nor does one of other settings.
    config = other / "config.yaml"
    config.write_text(config.read_text().replace("width: 4", "width: 5"))
    change(folder / RUN, state="failed", data=None)
    assert len(read_study(folder).configs) == 12


@pytest.mark.slow
@pytest.mark.parametrize(
    ("better", "taken", "left"),
    [
        ("hostA", "finished", "running"),
        ("hostB", "finished", "diverged"),
        ("hostB", "diverged", "failed"),
    ],
)
def test_the_documented_command_merges_whole_run_folders(better, taken, left, tmp_path):
    """The better copy is taken wherever it lies, and nothing of the other comes with it."""
    (command,) = re.findall(
        r"```\n(mkdir .*?)```", (CHECKOUT / "docs/clusters.md").read_text("utf-8"), flags=re.DOTALL
    )
    (tmp_path / "runs").mkdir()
    for host, seed in (("hostA", 0), ("hostB", 1)):
        place = tmp_path / host / "runs" / "figure6"
        (other,) = RECORDED.glob(f"plain-014*-s{seed}-*")
        for run, state in (RUN, taken if host == better else left), (other.name, "running"):
            change(shutil.copytree(RECORDED / run, place / run), state=state)
        (place / RUN / f"only-on-{host}").touch()
        (place / "report").mkdir()
    subprocess.run(["sh", "-ec", command], cwd=tmp_path, check=True)
    merged = tmp_path / "runs" / "figure6"
    files = {"config.yaml", "manifest.json", "metrics.csv", f"only-on-{better}"}
    assert {path.name for path in (merged / RUN).iterdir()} == files
    states = read_study(merged).states
    assert states.pop(RUN) == taken
    assert list(states.values()) == ["running", "running"]
    assert len(list(merged.iterdir())) == 3
    # An earlier merge is not mixed with a second one.
    assert subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True).returncode

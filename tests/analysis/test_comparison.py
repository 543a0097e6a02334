"""Studies side by side, and a study watched while it grows."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from analysis.__main__ import main
from analysis.figures import side_by_side
from analysis.load import read_studies
from analysis.statistics import final_errors
from tests.analysis.conftest import RECORDED
from tests.analysis.test_page import read, words
from tests.comparison import hear_ctrl_c


@pytest.fixture
def studies(tmp_path):
    """Two folders: the recorded runs, and the same with errors ten points lower."""
    one = Path(shutil.copytree(RECORDED, tmp_path / "one"))
    two = Path(shutil.copytree(RECORDED, tmp_path / "two"))
    for file in two.glob("*/metrics.csv"):
        frame = pd.read_csv(file)
        frame["train_error"] -= 10
        frame.to_csv(file, index=False)
        manifest = file.parent / "manifest.json"
        values = json.loads(manifest.read_text())
        del values["metrics"]
        manifest.write_text(json.dumps(values))
    return one, two


def test_two_studies_are_set_side_by_side(studies, tmp_path, capsys):
    output = tmp_path / "out"
    assert main([*map(str, studies), "--output", str(output)]) == 0
    assert f"page: {output}/index.html" in capsys.readouterr().out
    table = pd.read_csv(output / "comparison.csv")
    assert set(table["comparison"]) == {"two minus one"}
    training = table[table["error"] == "training"]
    assert len(training) == 6
    assert training["difference"].tolist() == pytest.approx([-10] * 6)
    assert (training["n"] == 2).all()
    assert table[table["error"] == "test"]["difference"].tolist() == [0] * 6
    for name in ("side_by_side.pdf", "comparison.tex", "one/index.html", "two/verdict.json"):
        assert (output / name).is_file()
    reader = read(output / "index.html")
    assert {"one/index.html", "two/index.html"} <= set(reader.addresses)
    text = words(reader)
    for name in ("one", "two"):
        answer = json.loads((output / name / "verdict.json").read_text())["answer"]
        assert answer in text
    assert "../index.html" in read(output / "one" / "index.html").addresses


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
    caption = figure.get_supxlabel()
    assert "one: Data: embedded shapes" in caption
    assert "two: Data: embedded shapes" in caption


def test_studies_of_one_name_are_told_apart_by_their_folders(tmp_path):
    for host in ("left", "right"):
        shutil.copytree(RECORDED, tmp_path / host / "quick")
    names = [s.name for s in read_studies([tmp_path / h / "quick" for h in ("left", "right")])]
    assert names == ["left/quick", "right/quick"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["{one}", "{two}"], "error: output=null: is needed to compare"),
        (["{one}", "{one}", "--output", "{out}"], "is named twice"),
        (["{one}", "{one}/nowhere", "--output", "{out}"], "is not there"),
        (["{one}", "--watch", "0"], "error: watch=0.0: allowed are seconds above 0"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, message, studies, tmp_path, capsys):
    names = {"one": studies[0], "two": studies[1], "out": tmp_path / "out"}
    assert main([argument.format(**names) for argument in arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "out").exists()


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)


def test_a_watched_study_is_drawn_anew_as_it_grows(tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    runs = sorted(path for path in RECORDED.iterdir() if path.is_dir())
    log = tmp_path / "log"
    with log.open("w") as stream:
        watching = subprocess.Popen(
            [sys.executable, "-m", "analysis", str(folder), "--watch", "0.2"],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            preexec_fn=hear_ctrl_c,
        )
        try:
            wait_for(lambda: "waiting: " in log.read_text())
            page = folder / "report" / "index.html"
            shutil.copytree(runs[0], folder / runs[0].name)
            wait_for(lambda: log.read_text().count("drawn at") == 1)
            assert runs[0].name in page.read_text()
            assert runs[1].name not in page.read_text()
            shutil.copytree(runs[1], tmp_path / "next")
            (tmp_path / "next").rename(folder / runs[1].name)
            wait_for(lambda: log.read_text().count("drawn at") == 2)
            assert runs[1].name in page.read_text()
            time.sleep(1)
            assert log.read_text().count("drawn at") == 2, "drawn without need"
        finally:
            watching.send_signal(signal.SIGINT)
            assert watching.wait(20) == 0
    assert "Traceback" not in log.read_text()

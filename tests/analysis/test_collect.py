"""Folders of several hosts collected into one study: each run counts once."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import pandas as pd
import pytest

from analysis.__main__ import main
from analysis.collect import collect
from analysis.load import DuplicateRunWarning, load_runs, read_studies, read_study
from tests.analysis.conftest import RECORDED
from tests.analysis.test_page import read, words

RUNS = sorted(path for path in RECORDED.iterdir() if path.is_dir())
RUN = RUNS[0].name
GPU = {"host": "right", "device": "cuda", "device_name": "NVIDIA H200"}


def change(run, **values):
    """Changes a manifest; None removes what it has."""
    manifest = json.loads((run / "manifest.json").read_text()) | values
    kept = {key: value for key, value in manifest.items() if value is not None}
    (run / "manifest.json").write_text(json.dumps(kept))


def change_curve(run, edit):
    """Edits metrics.csv as text cells, and takes the seal away."""
    frame = pd.read_csv(run / "metrics.csv", dtype=str, keep_default_na=False)
    edit(frame).to_csv(run / "metrics.csv", index=False)
    change(run, metrics=None)


def lose_rows(run, rows):
    change_curve(run, lambda frame: frame.iloc[:rows])


def add_points(run, points, rows=12):
    """Raises the training error in the last rows, of which there are 12."""

    def edit(frame):
        errors = frame["train_error"].astype(float)
        errors.iloc[-rows:] += points
        return frame.assign(train_error=errors)

    change_curve(run, edit)


def both(hosts, name=RUN):
    """Puts a run of the first folder into the second too; returns both copies."""
    return hosts[0] / name, Path(shutil.copytree(hosts[0] / name, hosts[1] / name))


def only_duplicate(hosts):
    (duplicate,) = read_study(hosts).duplicates
    return duplicate


def test_parts_make_the_study_that_one_folder_would(hosts, tmp_path, capsys):
    for folders in (hosts, hosts[::-1]):
        pd.testing.assert_frame_equal(load_runs(folders), load_runs(RECORDED))
    one = Path(shutil.copytree(RECORDED, tmp_path / "figure6"))
    assert main([str(one), "--output", str(tmp_path / "one")]) == 0
    before = {p: p.read_bytes() for host in hosts for p in host.rglob("*") if p.is_file()}
    assert main([*map(str, hosts), "--collect", "--output", str(tmp_path / "all")]) == 0
    printed = capsys.readouterr().out
    assert f"{hosts[0]}: 6 runs, on vm, AMD EPYC" in printed
    after = {p: p.read_bytes() for host in hosts for p in host.rglob("*") if p.is_file()}
    assert after == before
    more = {f"sources.{suffix}" for suffix in ("csv", "md", "tex")}
    drawn = {path.name for path in (tmp_path / "one").iterdir()}
    assert {path.name for path in (tmp_path / "all").iterdir()} == drawn | more
    for name in drawn - {"index.html"}:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "all" / name).read_bytes()
    page = (tmp_path / "all" / "index.html").read_text()
    assert "<h1>embedded shapes: figure6</h1>" in page
    sources = pd.read_csv(tmp_path / "all" / "sources.csv")
    assert sources.to_dict("list") == {
        "folder": [str(host) for host in hosts],
        "host": ["vm", "vm"],
        "device": ["AMD EPYC", "AMD EPYC"],
        "runs": [6, 6],
        "finished": [6, 6],
    }


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize(
    "better, worse",
    [
        (("finished", 12), ("running", 12)),
        (("finished", 12), ("failed", 12)),
        (("finished", 12), ("diverged", 12)),
        (("diverged", 3), ("running", 9)),
        (("diverged", 3), ("failed", 9)),
        (("running", 9), ("failed", 3)),
        (("failed", 9), ("running", 3)),
        (("running", 1), ("failed", 0)),
    ],
)
def test_the_better_copy_is_taken_wherever_it_lies(better, worse, swapped, hosts):
    copies = both(hosts)
    for copy, (state, rows) in zip(copies[:: -1 if swapped else 1], (better, worse), strict=True):
        lose_rows(copy, rows)
        change(copy, state=state)
    duplicate = only_duplicate(hosts)
    assert duplicate.taken.path == copies[swapped]
    assert duplicate.taken.state == better[0]
    assert [copy.path for copy in duplicate.left_out] == [copies[not swapped]]
    study = read_study(hosts)
    assert study.states[RUN] == better[0]
    assert (study.runs["run_id"] == RUN).sum() == better[1]
    assert study.place(RUN) == copies[swapped]


def test_of_equals_the_first_named_counts(hosts):
    copies = both(hosts)
    assert only_duplicate(hosts).taken.path == copies[0]
    assert only_duplicate(hosts[::-1]).taken.path == copies[1]


def test_curves_that_differ_in_time_alone_are_the_same(hosts):
    def slower(frame):
        return frame.assign(seconds=frame["seconds"] + "1", images_per_second="1.0")

    change_curve(both(hosts)[1], slower)
    (copy,) = only_duplicate(hosts).left_out
    assert copy.finding == "same curve"
    assert copy.difference == 0


def test_a_last_digit_makes_another_curve(hosts):
    def nudge(frame):
        text = frame.loc[3, "train_loss"]
        frame.loc[3, "train_loss"] = text[:-1] + ("1" if text[-1] != "1" else "2")
        return frame

    change_curve(both(hosts)[1], nudge)
    (copy,) = only_duplicate(hosts).left_out
    assert copy.finding == "other curve, final training error +0.00 points"


def test_a_finding_says_how_far_apart_finished_copies_are(hosts, tmp_path, capsys):
    third = tmp_path / "third" / "figure6"
    shutil.copytree(hosts[0] / RUN, third / RUN)
    copies = [both(hosts)[1], third / RUN]
    for copy, points in zip(copies, (1.5, -2.25), strict=True):
        add_points(copy, points)
        manifest = json.loads((copy / "manifest.json").read_text())
        change(copy, **GPU, versions=manifest["versions"] | {"torch": "9.9"})
    folders = [*hosts, third]
    duplicate = only_duplicate(folders)
    assert [copy.difference for copy in duplicate.left_out] == pytest.approx([1.5, -2.25])
    assert duplicate.left_out[0].finding == (
        "other curve, final training error +1.50 points (other: device_name, torch)"
    )
    assert main([*map(str, folders), "--collect", "--output", str(tmp_path / "out")]) == 0
    errors = capsys.readouterr().err
    assert f"several copies: {RUN}: taken from {hosts[0]} (finished, 120 iterations, vm, " in errors
    assert f"{hosts[1]} (finished, 120 iterations, right, NVIDIA H200; other curve" in errors
    summary = "2 with another, by up to 2.25 points of final training error"
    assert summary in errors
    page = words(read(tmp_path / "out" / "index.html"))
    assert summary in page
    assert "final training error -2.25 points" in page
    table = pd.read_csv(tmp_path / "out" / "copies.csv")
    assert table["copy"].tolist() == ["taken", "left out", "left out"]
    assert table["folder"].tolist() == [str(folder) for folder in folders]


@pytest.mark.parametrize("share, points", [("0.1", "+0.60"), ("1", "+0.10")])
def test_the_end_of_a_copy_is_as_configured(share, points, hosts, tmp_path, capsys):
    """The last row of twelve, of which the last tenth of the iterations holds two."""
    add_points(both(hosts)[1], 1.2, rows=1)
    out = str(tmp_path / "out")
    assert main([*map(str, hosts), "--collect", "--final", share, "--output", out]) == 0
    assert f"final training error {points} points" in capsys.readouterr().err


def test_a_damaged_copy_is_reported_and_never_taken(hosts, tmp_path, capsys):
    broken, _ = both(hosts)
    (broken / "metrics.csv").write_text("nonsense")
    change(both(hosts, RUNS[2].name)[1], state="running")
    study = read_study(hosts)
    assert not study.damaged
    duplicate = study.duplicates[0]
    assert duplicate.taken.path == hosts[1] / RUN
    assert [copy.state for copy in duplicate.left_out] == ["damaged"]
    assert "its checksum differs" in duplicate.left_out[0].finding
    assert len(study.configs) == 12
    assert main([*map(str, hosts), "--collect", "--output", str(tmp_path / "out")]) == 0
    errors = capsys.readouterr().err
    assert f"left out: {hosts[0]} (damaged, vm, AMD EPYC; metrics=metrics.csv: is damaged" in errors
    page = words(read(tmp_path / "out" / "index.html"))
    assert "every file could be read" not in page
    assert f"{RUN} left out {hosts[0]} metrics=metrics.csv: is damaged" in page


def test_a_run_that_is_damaged_everywhere_is_damaged(hosts, tmp_path, capsys):
    for copy in both(hosts):
        (copy / "manifest.json").write_text("{")
    study = read_study(hosts)
    assert set(study.damaged) == {f"left/runs/figure6/{RUN}", f"right/runs/figure6/{RUN}"}
    assert not study.duplicates
    assert main([*map(str, hosts), "--collect", "--output", str(tmp_path / "out")]) == 0
    errors = capsys.readouterr().err
    for host in hosts:
        assert f"left out: {host / RUN}: manifest=" in errors


def test_a_copy_under_another_name_is_the_same_run(hosts):
    original, copy = both(hosts)
    renamed = copy.rename(copy.with_name("from-the-other-host"))
    duplicate = only_duplicate(hosts)
    assert duplicate.taken.path == original
    assert [copy.path for copy in duplicate.left_out] == [renamed]
    assert load_count(hosts) == 12


def load_count(folders):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DuplicateRunWarning)
        return load_runs(folders)["run_id"].nunique()


def test_python_is_told_of_duplicates_too(hosts):
    both(hosts)
    with pytest.warns(DuplicateRunWarning, match=RUN):
        loaded = load_runs(hosts)
    pd.testing.assert_frame_equal(loaded, load_runs(RECORDED))


def other_images(run):
    data = json.loads((run / "manifest.json").read_text())["data"]
    change(run, data=data | {"fingerprint": "0123456789ab"})


@pytest.mark.parametrize("name", [RUN, RUNS[1].name], ids=["the same run", "another seed"])
def test_runs_of_other_images_are_not_merged(name, hosts, tmp_path, capsys):
    """Whichever copy would have been taken, and where no run is there twice too."""
    if name == RUN:
        change(both(hosts)[1], state="running")
    other_images(hosts[1] / name)
    if name != RUN:
        # All of its own folder, so that no folder by itself is mixed.
        for run in hosts[1].iterdir():
            other_images(run)
    arguments = [*map(str, hosts), "--collect", "--output", str(tmp_path / "out")]
    for more in ([], ["--watch", "0.1"]):
        assert main([*arguments, *more]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        assert lines[0].startswith(f"error: run={hosts[1] / name}: was trained on other images")
        assert f"(fingerprint 0123456789ab) than {hosts[0] / RUN} (7029f73758d3)" in lines[0]
    assert not (tmp_path / "out").exists()


def test_one_name_for_two_descriptions_is_an_error(hosts, tmp_path, capsys):
    file = both(hosts)[1] / "config.yaml"
    file.write_text(file.read_text().replace("width: 4", "width: 5"))
    assert main([*map(str, hosts), "--collect", "--output", str(tmp_path / "out")]) == 2
    expected = f"error: run={hosts[1] / RUN}: has the name of {hosts[0] / RUN} and other settings"
    assert capsys.readouterr().err.startswith(expected)


def test_nothing_cannot_be_collected():
    with pytest.raises(Exception, match="at least one folder"):
        load_runs([])


def test_several_protocols_keep_their_own_duplicates(hosts):
    both(hosts)
    study = read_study(hosts)
    assert len(study.part([RUN]).duplicates) == 1
    assert not study.part([RUNS[1].name]).duplicates


def test_a_collected_study_has_a_name(hosts, tmp_path):
    assert read_study(hosts).name == "figure6"
    other = Path(shutil.copytree(RECORDED, tmp_path / "quick"))
    assert collect(read_studies([hosts[0], other])).name == "figure6 and quick"

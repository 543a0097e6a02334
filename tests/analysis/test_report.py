"""Loading, tables and files, from recorded runs."""

import json
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analysis.__main__ import main
from analysis.load import (
    DamagedRunWarning,
    load_runs,
    read_study,
)
from analysis.protocol import protocols
from resnet_study.runs import METRICS

RECORDED = Path(__file__).resolve().parent.parent / "fixtures" / "runs"


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(RECORDED, tmp_path / "runs"))


def test_runs_load_as_the_contract_says(runs):
    assert list(runs.columns) == [
        "run_id", "kind", "shortcut", "depth", "seed", "data", "schedule", "experiment", "state",
        "variant", "settings", *METRICS,
    ]  # fmt: skip
    assert runs["run_id"].nunique() == 12
    assert set(runs["depth"]) == {8, 14}
    assert set(runs["data"]) == {"embedded shapes"}
    plain = runs[runs["kind"] == "plain"]
    assert plain["shortcut"].isna().all()
    assert set(runs[runs["kind"] == "residual"]["shortcut"]) == {"A", "B"}
    for _, run in runs.groupby("run_id"):
        assert run["iteration"].is_monotonic_increasing
        assert np.isfinite(run["train_error"]).all()
        assert run["test_error"].notna().sum() == 4


def set_state(run, state):
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(manifest | {"state": state}))


def test_a_half_written_row_is_not_read(folder, runs):
    run = next(folder.glob("plain-008*"))
    set_state(run, "running")
    with (run / "metrics.csv").open("a") as stream:
        stream.write("990,1.5,0.0")
    loaded = load_runs(folder).drop(columns="state")
    pd.testing.assert_frame_equal(loaded, runs.drop(columns="state"))


def break_config(run):
    (run / "config.yaml").write_text("model: {depth: 21}")


def break_metrics(run):
    (run / "metrics.csv").write_text("iteration,epoch\n1,2\n")


def reverse_metrics(run):
    lines = (run / "metrics.csv").read_text().splitlines()
    (run / "metrics.csv").write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")


def break_manifest(run):
    (run / "manifest.json").write_text("{")


def lose_metrics(run):
    (run / "metrics.csv").unlink()


def lose_manifest(run):
    (run / "manifest.json").unlink()


def change_a_digit(run):
    content = bytearray((run / "metrics.csv").read_bytes())
    content[-5] = ord("1") if content[-5] != ord("1") else ord("2")
    (run / "metrics.csv").write_bytes(content)


def break_the_seal(run):
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(manifest | {"metrics": {"bytfs": 1}}))


@pytest.mark.parametrize(
    "damage",
    [
        break_config,
        break_metrics,
        reverse_metrics,
        break_manifest,
        lose_metrics,
        lose_manifest,
        change_a_digit,
        break_the_seal,
    ],
)
def test_a_damaged_run_is_named_and_the_others_load(damage, folder):
    run = next(folder.glob("plain-008*s0*"))
    damage(run)
    with pytest.warns(DamagedRunWarning, match=run.name):
        loaded = load_runs(folder)
    assert loaded["run_id"].nunique() == 11


def test_the_command_writes_everything_and_says_where(folder, tmp_path, capsys):
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    output = tmp_path / "out"
    assert main([str(folder), "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    names = {p.name for p in output.iterdir()}
    assert names == {
        f"{stem}.{suffix}"
        for stem in (
            "learning_curves",
            "training_error_by_depth",
            "test_error_by_depth",
            "gap_by_depth",
            "optimisation_speed",
            "shortcut_options",
        )
        for suffix in ("png", "svg", "pdf")
    } | {
        f"{table}.{suffix}"
        for table in ("results", "degradation", "differences", "costs")
        for suffix in ("csv", "md", "tex")
    } | {"index.html", "verdict.json"}
    assert f"page: {output}/index.html" in printed
    assert all(name.rpartition(".")[0] in printed for name in names)
    assert "residual-A: training error" in printed
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    verdict = json.loads((output / "verdict.json").read_text())
    assert verdict["families"]["plain"]["training"]["n"] == 2
    with Image.open(output / "learning_curves.png") as picture:
        assert picture.width > 1500
    assert ET.parse(output / "learning_curves.svg").getroot().tag.endswith("svg")
    assert len(pd.read_csv(output / "results.csv")) == 6


def test_the_same_runs_give_the_same_files(folder, tmp_path):
    for name in ("one", "two"):
        assert main([str(folder), "--output", str(tmp_path / name)]) == 0
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes(), file.name


def test_runs_of_two_protocols_are_not_mixed(folder, tmp_path, capsys):
    for config in folder.glob("*s1*/config.yaml"):
        config.write_text(config.read_text().replace("width: 4", "width: 5"))
    groups = protocols(read_study(folder).configs)
    assert {name: len(ids) for name, ids in groups.items()} == {
        "model.width=4": 6,
        "model.width=5": 6,
    }
    assert main([str(folder), "--output", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "protocol-2" / "verdict.json").is_file()
    printed = capsys.readouterr().out
    assert "schedule quick, model.width=4: 6 runs" in printed
    assert "schedule quick, model.width=5: 6 runs" in printed
    for place, other in (("out", "protocol-2/index.html"), ("out/protocol-2", "../index.html")):
        page = (tmp_path / place / "index.html").read_text()
        assert f'href="{other}">model.width=' in page


def test_the_end_of_a_run_is_as_configured(folder, tmp_path, capsys):
    """With the whole run as its end, a final error is the mean of all rows."""
    assert main([str(folder), "--output", str(tmp_path), "--final", "1"]) == 0
    runs = load_runs(folder)
    cell = runs[(runs["kind"] == "plain") & (runs["depth"] == 8)]
    expected = cell.groupby("run_id")["train_error"].mean().mean()
    table = pd.read_csv(tmp_path / "results.csv").set_index(["family", "depth"])
    assert table.loc[("plain", 8), "train_error"] == pytest.approx(expected)
    assert "last 100 % of" in (tmp_path / "training_error_by_depth.svg").read_text()
    assert main([str(folder), "--final", "0"]) == 2
    assert "error: final=0.0: allowed is a share" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [{"seconds": "ten"}, {"parameters": True}, {"versions": ["a"]}, {"resumed": [3]}],
    ids=str,
)
def test_a_manifest_of_odd_values_is_damaged(folder, tmp_path, change):
    run = next(folder.glob("plain-008*"))
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(manifest | change))
    assert main([str(folder), "--output", str(tmp_path / "out")]) == 0
    assert list(read_study(folder).damaged) == [run.name]


def test_a_copied_run_counts_once(folder):
    run = next(folder.glob("plain-008*s0*"))
    shutil.copytree(run, folder / f"{run.name}-copy")
    study = read_study(folder)
    assert study.damaged == {f"{run.name}-copy": study.damaged[f"{run.name}-copy"]}
    assert f"is a copy of {run.name}" in study.damaged[f"{run.name}-copy"]
    assert study.runs["run_id"].nunique() == 12


def test_a_run_without_rows_has_begun_or_failed_and_is_not_damaged(folder, capsys):
    for run, state in zip(folder.glob("plain-014*"), ("running", "failed"), strict=True):
        set_state(run, state)
        lose_metrics(run)
    study = read_study(folder)
    assert not study.damaged
    assert sorted(study.states.values()) == ["failed", *["finished"] * 10, "running"]
    assert study.runs["run_id"].nunique() == 10
    assert main([str(folder)]) == 0
    assert "failed: " in capsys.readouterr().err


def test_unfinished_and_damaged_runs_are_named(folder, tmp_path, capsys):
    running = next(folder.glob("plain-014*s0*"))
    set_state(running, "running")
    broken = next(folder.glob("residual-A-008*s1*"))
    break_manifest(broken)
    assert main([str(folder), "--output", str(tmp_path / "out")]) == 0
    errors = capsys.readouterr().err
    assert f"running: {running}" in errors
    assert "left out:" in errors
    assert broken.name in errors


def test_an_output_that_cannot_be_written_is_one_line(folder, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main([str(folder), "--output", str(tmp_path / "file")]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: file=")


def test_each_folder_gets_a_report_of_its_own(folder, tmp_path, capsys):
    other = shutil.copytree(folder, tmp_path / "other")
    assert main(["--each", str(folder), str(other)]) == 0
    for place in (folder, other):
        assert (place / "report" / "index.html").exists()
    words = capsys.readouterr().out
    assert words.index(f"page: {folder}") < words.index(f"page: {other}")


def test_of_several_folders_the_bad_one_is_named_and_the_others_are_drawn(folder, tmp_path, capsys):
    assert main(["--each", str(tmp_path / "nowhere"), str(folder)]) == 2
    assert (folder / "report" / "index.html").exists()
    assert "nowhere" in capsys.readouterr().err
    assert main(["--each", str(folder), "--output", str(tmp_path)]) == 2
    assert main(["--each", str(folder), str(folder)]) == 2

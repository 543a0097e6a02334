"""Loading, reports and the command line, from recorded runs."""

import json
import shutil
import xml.etree.ElementTree as ET
from functools import partial

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analysis.__main__ import main
from analysis.load import DamagedRunWarning, load_probes, load_runs, read_study
from analysis.manifest import machine_of
from resnet_study.store.folder import METRICS
from tests.analysis.conftest import Page, draw
from tests.analysis.made import GPU, RECORDED, RUN, RUNS, change, change_curve


def test_runs_load_as_the_contract_says(runs):
    assert list(runs.columns) == [
        "run_id", "kind", "shortcut", "depth", "seed", "data", "schedule", "experiment", "state",
        "variant", "settings", *METRICS, "phase", "started", "paper_iterations", "start", "base",
    ]  # fmt: skip
    assert runs["run_id"].nunique() == 12
    assert set(runs["data"]) == {"embedded shapes"}
    assert runs[runs["kind"] == "plain"]["shortcut"].isna().all()
    assert set(runs[runs["kind"] == "residual"]["shortcut"]) == {"A", "B"}
    assert np.isfinite(runs["train_error"]).all()
    assert (runs.groupby("run_id")["test_error"].count() == 4).all()


def test_a_half_written_row_is_not_read(folder, runs):
    change(folder / RUN, state="running")
    with (folder / RUN / "metrics.csv").open("a") as stream:
        stream.write("990,1.5,0.0")
    loaded = load_runs(folder).drop(columns="state")
    pd.testing.assert_frame_equal(loaded, runs.drop(columns="state"))


def write(run, name, text):
    (run / name).write_text(text)


def edit(function):
    return partial(change_curve, edit=function)


def change_a_digit(run):
    content = (run / "metrics.csv").read_text()
    write(run, "metrics.csv", f"{content[:-5]}{9 - int(content[-5])}{content[-4:]}")


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (partial(write, name="config.yaml", text="model: {depth: 21}"), "depth"),
        (partial(write, name="manifest.json", text="{"), "manifest"),
        (partial(write, name="probes.csv", text="iteration,measure\n1,2\n"), "probes"),
        (edit(lambda frame: frame[::-1]), "do not increase"),
        (edit(lambda frame: frame.assign(seconds="x")), "cannot be read"),
        (edit(lambda frame: frame.drop(columns="seconds")), "must have the columns"),
        (lambda run: (run / "metrics.csv").unlink(), "metrics"),
        (lambda run: (run / "manifest.json").unlink(), "is missing"),
        (change_a_digit, "its checksum differs"),
        (partial(change, metrics={"bytfs": 1}), "manifest"),
        (partial(change, seconds="ten"), "seconds has the wrong type"),
        (partial(change, parameters=True), "parameters has the wrong type"),
        (partial(change, versions=["a"]), "versions has the wrong type"),
        (partial(change, resumed=[3]), "resumed has the wrong type"),
        (partial(change, hosts="vm"), "hosts has the wrong type"),
        (partial(change, evaluation={"single": 3}), "evaluation has the wrong type"),
        (
            partial(change, evaluation={"single": {"error": "x", "top5_error": 1}}),
            "evaluation has the",
        ),
    ],
)
def test_a_damaged_run_is_named_and_the_others_load(damage, problem, folder):
    damage(folder / RUN)
    for load, others in ((load_runs, 11), (load_probes, 0)):
        with pytest.warns(DamagedRunWarning, match=f"{RUN}: .*{problem}"):
            loaded = load(folder)
        assert loaded["run_id"].nunique() == others
    assert list(read_study(folder).damaged) == [RUN]


def test_the_report_has_everything_and_says_where(report):
    figures = (
        "learning_curves", "training_error_by_depth", "clean_error_by_depth",
        "test_error_by_depth", "gap_by_depth", "shortcut_options",
    )  # fmt: skip
    # These runs reach no training error that would be worth a panel of optimisation_speed.
    names = {f"{stem}.{suffix}" for stem in figures for suffix in ("png", "svg", "pdf")}
    for table in ("results", "degradation", "differences", "costs"):
        names |= {f"{table}.csv", f"{table}.md", f"{table}.tex"}
    assert {path.name for path in report.output.iterdir()} == names | {"index.html", "verdict.json"}
    assert f"page: {report.output}/index.html" in report.printed
    assert all(name.rpartition(".")[0] in report.printed for name in names)
    assert report.verdict["answer"] in report.printed
    with Image.open(report.output / "learning_curves.png") as picture:
        assert picture.width > 1500
    assert ET.parse(report.output / "learning_curves.svg").getroot().tag.endswith("svg")


@pytest.mark.slow
def test_the_same_runs_give_the_same_files(folder, report, tmp_path):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    again = draw(folder, output=tmp_path / "again").output
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    for file in report.output.iterdir():
        assert file.read_bytes() == (again / file.name).read_bytes(), file.name


@pytest.mark.parametrize("newest", ["4", "5"])
def test_each_protocol_has_a_report_and_the_newest_comes_first(newest, folder, drawn):
    for config in folder.glob("*s1*/config.yaml"):
        config.write_text(config.read_text().replace("width: 4", "width: 5"))
    for run in folder.glob("*s1*" if newest == "5" else "*s0*"):
        change(run, started="2031-05-01T10:00:00+00:00")
    older = {"4": "5", "5": "4"}[newest]
    groups = read_study(folder).protocols
    assert [(name, len(ids)) for name, ids in groups.items()] == [
        (f"model.width={newest}", 6), (f"model.width={older}", 6),
    ]  # fmt: skip
    report = drawn(folder)
    assert f"{folder} holds 2 protocols; each has a report, the newest first" in report.printed
    places = [f"schedule quick, model.width={width}: 6 runs" for width in (newest, older)]
    assert report.printed.index(places[0]) < report.printed.index(places[1])
    second = json.loads((report.output / "protocol-2" / "verdict.json").read_text())
    newer, former = groups.values()
    assert (report.verdict["runs"], second["runs"]) == (sorted(newer), sorted(former))
    assert f'href="protocol-2/index.html">model.width={older}' in report.page.source
    other = Page(report.output / "protocol-2" / "index.html")
    assert f'href="../index.html">model.width={newest}' in other.source


def test_the_end_of_a_run_is_as_configured(runs, drawn):
    """With the whole run as its end, a final error is the mean of all rows after the last fall."""
    cell = runs[(runs["kind"] == "plain") & (runs["depth"] == 8) & (runs["iteration"] > 90)]
    table = drawn(RECORDED, "--final", "1").table("results").set_index(["family", "depth"])
    assert table.loc[("plain", 8), "train_error"] == pytest.approx(cell["train_error"].mean())


def test_a_copied_run_counts_once_and_one_without_rows_is_not_damaged(folder):
    shutil.copytree(folder / RUN, folder / f"{RUN}-copy")
    for run, state in zip(folder.glob("plain-014*"), ("running", "failed"), strict=True):
        change(run, state=state)
        (run / "metrics.csv").unlink()
    study = read_study(folder)
    ((run_id, problem),) = study.damaged.items()
    assert (run_id, f"is a copy of {RUN}" in problem) == (f"{RUN}-copy", True)
    assert sorted(study.states.values()) == ["failed", *["finished"] * 10, "running"]
    assert study.runs["run_id"].nunique() == 10


def test_what_is_missing_or_damaged_and_where_runs_come_from_is_on_the_page(folder, drawn, capsys):
    broken, running, gone, failed = (next(folder.glob(f"{n}*s0*")) for n in (
        "plain-008", "plain-014", "residual-A-008", "residual-B-014",
    ))  # fmt: skip
    (broken / "manifest.json").write_text("{")
    change(running, state="running")
    change(failed, state="failed")
    (failed / "failure.txt").write_text("Traceback\n  somewhere\nRuntimeError: <out of luck>\n")
    shutil.rmtree(gone)
    for run in folder.glob("*-s1-*"):
        change(run, **GPU, seconds=1000.0)
    report = drawn(folder)
    text = report.page.text
    missing = text[text.index("What is missing or damaged") :]
    for words in (
        f"{broken.name} : manifest={broken}/manifest.json: cannot be read",
        f"{running.name} : running",
        f"{failed.name} : failed",
        "residual A at 8 layers, seed 0",
    ):
        assert words in missing
    assert "residual A at 8 layers, seed 1" not in missing
    errors = capsys.readouterr().err.splitlines()
    assert {f"running: {running}", f"failed: {failed}"} <= set(errors)
    assert any(line.startswith(f"left out: {broken}: manifest=") for line in errors)
    for words in (
        "RuntimeError: <out of luck>",
        "Devices: AMD EPYC, NVIDIA H200.",
        "on right, NVIDIA H200 (python",
        f"{RUNS[1].name} plain 8 1 right NVIDIA H200 finished",
    ):
        assert words in text
    sources = [["right", "NVIDIA H200", 6, 6], ["vm", "AMD EPYC", 4, 2]]
    assert report.table("sources").to_numpy().tolist() == sources
    # Costs are not averaged over devices.
    costs = report.table("costs").set_index(["family", "depth", "device"])
    assert costs.loc[("residual-A", 14, "NVIDIA H200"), "seconds"] == 1000
    assert costs.loc[("residual-A", 14, "AMD EPYC"), "seconds"] < 2


def test_a_run_that_went_on_elsewhere_names_all_its_machines():
    first = {"hosts": ["a"], "device_name": "CPU", "processes": 1}
    manifest = {"hosts": ["b", "c"], "device_name": "GPU", "processes": 2}
    went_on = manifest | {"former_machines": [first, manifest]}
    assert machine_of(went_on) == ("a, b, c", "CPU, then 2 × GPU")
    assert machine_of({"host": "a", "device_name": "CPU"}) == ("a", "CPU")
    assert machine_of({}) == ("unknown host", "unknown device")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("{one} {two}", "output=null: must be set to compare"),
        ("{one} {one} --output {out}", "is named twice"),
        ("{one} --each --output {out}", "each=True: must be given without --output"),
        ("{one} {one}/nowhere --output {out}", "is not there"),
        ("{one} {top}/empty --output {out}", "holds no runs"),
        ("{top} --output {out}", "name a folder such as runs/quick; here: {one} {two}"),
        ("{one} --output {top}/file", "file={top}/file"),
        ("{one} --final 0", "final=0.0: must be a share above 0"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, message, tmp_path, capsys):
    names = {name: tmp_path / name for name in ("one", "two", "out")} | {"top": tmp_path}
    for name in ("one", "two"):
        shutil.copytree(RECORDED / RUN, tmp_path / name / RUN)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    assert main(arguments.format(**names).split()) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert message.format(**names) in line
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_each_folder_gets_a_report_and_the_bad_one_is_named(folder, tmp_path, capsys):
    other = shutil.copytree(folder, tmp_path / "other")
    assert main(["--each", str(folder), str(tmp_path / "nowhere"), str(other)]) == 2
    for place in (folder, other):
        assert (place / "report" / "index.html").exists()
    found = capsys.readouterr()
    assert found.out.index(f"page: {folder}") < found.out.index(f"page: {other}")
    assert "nowhere" in found.err

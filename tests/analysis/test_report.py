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
    costs_of,
    load_runs,
    read_study,
)
from analysis.paper import figure6_curves
from analysis.protocol import protocols
from analysis.statistics import by_cell, degradation, final_errors
from analysis.tables import (
    changes,
    costs,
    differences,
    latex,
    markdown,
    overview,
    rates,
    readable,
    results,
    text_as_markdown,
)
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


def test_tables_hold_the_means(runs):
    finals = final_errors(runs)
    table = results(finals).set_index(["family", "depth"])
    cell = finals[(finals["family"] == "plain") & (finals["depth"] == 8)]
    assert table.loc[("plain", 8), "test_error"] == pytest.approx(cell["test_error"].mean())
    assert table.loc[("plain", 8), "test_error_std"] == pytest.approx(cell["test_error"].std())
    lines = markdown(results(finals)).splitlines()
    assert len(lines) == 2 + 6
    assert lines[2].startswith("| plain | 8 | 2 | ")
    assert f"{cell['train_error'].mean():.2f} ± " in lines[2]


def test_the_papers_numbers_stand_only_beside_its_own_protocol(runs):
    finals = final_errors(runs)
    assert "paper_test_error" not in results(finals)
    finals["depth"] = finals["depth"].map({8: 20, 14: 110})
    table = results(finals, protocol_of_the_paper=True).set_index(["family", "depth"])
    assert table.loc[("residual-A", 20), "paper_test_error"] == 8.75
    assert table.loc[("residual-A", 110), "paper_test_error"] == 6.61
    # The plain networks' are from Figure 6, which ends plain-20 at 9.69 and 1.30 %.
    assert table.loc[("plain", 20), "paper_test_error"] == pytest.approx(9.69, abs=0.1)
    assert table.loc[("plain", 20), "paper_train_error"] == pytest.approx(1.30, abs=0.1)
    assert np.isnan(table.loc[("plain", 110), "paper_test_error"])
    assert np.isnan(table.loc[("residual-B", 20), "paper_test_error"])


def test_several_studies_stand_in_one_table_and_the_paper_only_below_its_own_data(runs):
    table = overview([runs, figure6_curves()])
    ours, papers = table[table["data"] != "CIFAR-10"], table[table["data"] == "CIFAR-10"]
    assert list(ours["network"].unique()) == ["plain", "residual A", "residual B"]
    assert set(ours["seeds"]) == {"2"}
    cell = by_cell(final_errors(runs), "test_error").iloc[0]
    (shown,) = ours[(ours["network"] == "plain") & (ours["error"] == "test")]["8 layers"]
    assert shown == f"{cell['mean']:.2f} ± {cell['std']:.2f}"
    assert set(ours["110 layers"]) == {"–"}
    published = papers[(papers["seeds"] == "the paper") & (papers["network"] == "residual A")]
    assert list(published[published["error"] == "test"]["110 layers"]) == ["6.61"]
    assert len(text_as_markdown(table, left=5).splitlines()) == len(table) + 2


def test_rates_are_compared_by_their_means_and_one_that_diverged_has_none(folder):
    """Seeds 0 of two families, as if they had been trained at two rates."""
    for run in folder.iterdir():
        config = run / "config.yaml"
        kept = "-008-" in run.name and "residual-B" not in run.name
        if not kept:
            shutil.rmtree(run)
        elif "-s1-" in run.name:
            config.write_text(
                config.read_text().replace("learning_rate: 0.05", "learning_rate: 0.2", 1)
            )
    study = read_study(folder)
    table = rates(study).set_index("learning rate")
    ends = final_errors(study.runs).set_index(["family", "seed"])["test_error"]
    assert table.loc["0.05", "plain 8"] == f"{ends['plain', 0]:.2f}"
    assert table.loc["0.05", "mean"] == f"{ends[:, 0].mean():.2f}"
    assert table.loc["0.2", "mean"] == f"{ends[:, 1].mean():.2f}"
    set_state(next(folder.glob("plain-*-s1-*")), "diverged")
    table = rates(read_study(folder)).set_index("learning rate")
    assert list(table.loc["0.2"]) == ["–", f"{ends['residual-A', 1]:.2f}", "–"]


def test_costs_come_from_the_manifests():
    table = costs(costs_of(read_study(RECORDED))).set_index(["family", "depth"])
    assert table.loc[("plain", 8), "parameters"] == 5006
    assert table.loc[("residual-A", 8), "parameters"] == 5006
    assert table.loc[("residual-B", 8), "parameters"] > 5006
    assert table.loc[("plain", 14), "multiply_adds"] > table.loc[("plain", 8), "multiply_adds"]
    assert (table["seconds"] > 0).all()
    assert table["n"].tolist() == [2] * 6


def test_degradation_and_differences_are_tables_for_readers(runs):
    finals = final_errors(runs)
    table = changes(finals)
    assert len(table) == 6
    plain = table[(table["family"] == "plain") & (table["error"] == "training")].iloc[0]
    expected = degradation(finals).set_index("family").loc["plain"]
    assert plain["difference"] == expected["degradation"]
    text = readable(table)
    assert f"{expected['low']:+.2f} to {expected['high']:+.2f}" in set(text["95 % interval"])
    one_seed = readable(changes(finals[finals["seed"] == 0]))
    assert set(one_seed["95 % interval"]) == {"one seed: no interval"}

    pairs = differences(finals)
    assert set(pairs["comparison"]) == {
        "residual A minus plain",
        "residual B minus plain",
        "residual B minus residual A",
    }
    assert len(pairs) == 3 * 2 * 2


def test_latex_is_a_booktabs_table(runs):
    text = latex(results(final_errors(runs)), "100 % of a_b.")
    for part in (r"\toprule", r"\bottomrule", r"$\pm$", r"training error (\%)", r"100 \% of a\_b."):
        assert part in text
    rows = [line for line in text.splitlines() if line.strip().endswith(r"\\")]
    assert len(rows) == 7
    assert len({line.count("&") for line in rows}) == 1


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


def test_latex_escapes_whatever_a_label_or_folder_holds():
    table = pd.DataFrame({"comparison": ["a_b minus c^d"], "difference": [1.0]})
    text = latex(table, r"50 % of $x \ {y} ~z")
    assert r"a\_b minus c\textasciicircum{}d" in text
    assert r"50 \% of \$x \textbackslash{} \{y\} \textasciitilde{}z" in text


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

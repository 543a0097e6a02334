"""Loading, figures and files, from recorded runs."""

import json
import shutil
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analysis.__main__ import main
from analysis.figures import (
    error_by_depth,
    learning_curves,
    optimisation_speed,
    shortcut_options,
)
from analysis.figures.style import depth_colors
from analysis.load import (
    DamagedRunWarning,
    load_configs,
    load_manifests,
    load_runs,
    protocols,
)
from analysis.statistics import family_difference, final_errors, iterations_to_reach
from analysis.tables import costs, latex, markdown, results
from resnet_study.runs import METRICS

RECORDED = Path(__file__).resolve().parent.parent / "fixtures" / "runs"


@pytest.fixture
def runs():
    return load_runs(RECORDED)


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(RECORDED, tmp_path / "runs"))


def test_runs_load_as_the_contract_says(runs):
    assert list(runs.columns) == [
        "run_id", "kind", "shortcut", "depth", "seed", "data", "schedule", "experiment", "state",
        *METRICS,
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


def curves(figure):
    """Per panel, the drawn lines with data, as (style, x, y)."""
    return {
        axes.get_title(): [
            (line.get_linestyle(), line.get_xdata(), line.get_ydata())
            for line in axes.get_lines()
            if len(line.get_xdata()) > 2
        ]
        for axes in figure.axes
    }


def test_learning_curves_have_a_panel_per_family_and_draw_the_means(runs):
    drawn = curves(learning_curves(runs))
    assert list(drawn) == ["plain", "residual A", "residual B"]
    for lines in drawn.values():
        assert [style for style, _, _ in lines] == ["--", "-", "--", "-"]
    cell = runs[(runs["kind"] == "plain") & (runs["depth"] == 8)]
    expected = cell.groupby("iteration")["train_error"].mean()
    _, x, y = drawn["plain"][0]
    assert list(x) == expected.index.tolist()
    assert list(y) == pytest.approx(expected.tolist())
    _, x, y = drawn["plain"][1]
    assert list(y) == pytest.approx(cell.groupby("iteration")["test_error"].mean().dropna())


def test_the_papers_curves_lie_under_runs_of_its_protocol_only(runs):
    ours = {title: len(lines) for title, lines in curves(learning_curves(runs)).items()}
    deep = runs.assign(depth=runs["depth"].map({8: 20, 14: 56}))
    same = deep.assign(
        data="CIFAR-10", schedule="paper", iteration=deep["iteration"] * 64_000 // 120
    )
    drawn = curves(learning_curves(same))
    assert {title: len(lines) for title, lines in drawn.items()} == {
        "plain": ours["plain"] + 4,
        "residual A": ours["residual A"] + 4,
        "residual B": ours["residual B"],
    }
    _, x, y = drawn["plain"][-1]
    assert x[-1] > 60_000
    assert y[-1] == pytest.approx(13.23, abs=0.2)
    for other in (same.assign(data="CIFAR-10 (JPEG)"), same.assign(iteration=deep["iteration"])):
        assert {t: len(lines) for t, lines in curves(learning_curves(other)).items()} == ours


def test_learning_curves_mark_the_milestones(runs):
    axes = learning_curves(runs).axes[0]
    marks = [line.get_xdata()[0] for line in axes.get_lines() if len(line.get_xdata()) == 2]
    assert marks == [60, 90]


def test_error_by_depth_draws_the_final_means(runs):
    figure = error_by_depth(runs, "test_error")
    finals = final_errors(runs)
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    for family, title in (("plain", "plain"), ("residual-A", "residual A")):
        part = finals[finals["family"] == family].groupby("depth")["test_error"].mean()
        assert list(lines[title].get_xdata()) == [8, 14]
        assert list(lines[title].get_ydata()) == pytest.approx(part.tolist())


def test_speed_draws_the_iterations_and_marks_who_never_got_there(runs):
    reached = iterations_to_reach(runs, (85.0, 0.0))
    assert reached[reached["level"] == 0]["iterations"].isna().all()
    figure = optimisation_speed(runs, (85.0, 0.0))
    assert [axes.get_title() for axes in figure.axes] == ["down to 85 %"]
    plain = reached[(reached["family"] == "plain") & (reached["level"] == 85)]
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    expected = plain.groupby("depth")["iterations"].agg(lambda i: i.mean(skipna=False))
    np.testing.assert_array_equal(lines["plain"].get_ydata(), expected)
    crosses = [line for line in figure.axes[0].get_lines() if line.get_marker() == "x"]
    never = int(reached[reached["level"] == 85]["iterations"].isna().sum())
    assert sum(len(line.get_xdata()) for line in crosses) == never


def test_options_are_drawn_as_differences_with_bars(runs):
    figure = shortcut_options(runs)
    for axes, error in zip(figure.axes, ("train_error", "test_error"), strict=True):
        table = family_difference(final_errors(runs), "residual-B", "residual-A", error)
        (container,) = axes.containers
        assert list(container.lines[0].get_ydata()) == pytest.approx(table["difference"].tolist())
        segments = container.lines[2][0].get_segments()
        assert [s[:, 1].tolist() for s in segments] == [
            pytest.approx(bounds) for bounds in table[["low", "high"]].to_numpy().tolist()
        ]


def text_of(figure):
    found = [figure.get_supxlabel()]
    for axes in figure.axes:
        found += [axes.get_title(), axes.get_xlabel(), axes.get_ylabel()]
    return " | ".join(found)


def test_figures_say_what_they_were_made_from(runs):
    for figure in (learning_curves(runs), error_by_depth(runs)):
        text = text_of(figure)
        assert "embedded shapes" in text
        assert "quick, 120 iterations" in text
        assert "Seeds: 0, 1" in text
        assert "(%)" in text
    assert "iteration" in text_of(learning_curves(runs))


def test_figures_take_any_part_of_a_frame(runs):
    part = runs[(runs["kind"] == "residual") & (runs["shortcut"] == "A") & (runs["seed"] == 0)]
    assert list(curves(learning_curves(part))) == ["residual A"]
    assert "Seed: 0" in text_of(error_by_depth(part))
    for nothing in (runs[runs["state"] == "failed"], runs[0:0]):
        for draw in (learning_curves, error_by_depth, optimisation_speed, shortcut_options):
            assert draw(nothing).axes


def test_depths_are_told_apart_in_grey():
    """The deeper the darker, with a step that a reader can see."""
    colors = depth_colors([110, 20, 32, 56, 44])
    grey = [0.299 * r + 0.587 * g + 0.114 * b for r, g, b, _ in colors.values()]
    assert list(colors) == [20, 32, 44, 56, 110]
    assert all(a - b > 0.08 for a, b in pairwise(grey))


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
    assert table.loc[("residual-A", 110), "paper_test_error"] == 6.43
    assert np.isnan(table.loc[("plain", 20), "paper_test_error"])


def test_costs_come_from_the_manifests():
    table = costs(load_manifests(RECORDED)).set_index(["family", "depth"])
    assert table.loc[("plain", 8), "parameters"] == 5006
    assert table.loc[("residual-A", 8), "parameters"] == 5006
    assert table.loc[("residual-B", 8), "parameters"] > 5006
    assert table.loc[("plain", 14), "multiply_adds"] > table.loc[("plain", 8), "multiply_adds"]
    assert (table["seconds"] > 0).all()
    assert table["n"].tolist() == [2] * 6


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
    } | {f"{table}.{s}" for table in ("results", "costs") for s in ("csv", "md", "tex")} | {
        "verdict.json"
    }
    assert all(str(output / name) in printed for name in names)
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
    groups = protocols(load_configs(folder))
    assert [len(ids) for ids in groups] == [6, 6]
    assert main([str(folder), "--output", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "protocol-2" / "verdict.json").is_file()
    assert capsys.readouterr().out.count("6 runs") == 2


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

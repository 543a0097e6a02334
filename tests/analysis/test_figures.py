"""Figures draw the numbers they are given, and say what they were made from."""

import html
import itertools
import os
import re
import subprocess
import sys
from importlib import import_module
from urllib.parse import parse_qs

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgba

from analysis import figures
from analysis.figures import DRAWINGS, error_by_depth, learning_curves
from analysis.figures.files import rendered
from analysis.figures.optimisation_speed import optimisation_speed
from analysis.figures.shortcut_options import shortcut_options
from analysis.figures.style import NOT_STARTED
from analysis.statistics import (
    family_difference,
    final_errors,
    iterations_to_reach,
    set_final_share,
)
from tests.conftest import CHECKOUT


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


# Each of these alone stopped or changed a figure.
HOSTILE = {
    "text.usetex": True, "figure.autolayout": True, "figure.constrained_layout.use": True,
    "font.family": "monospace", "font.size": 14.0, "axes.formatter.use_locale": True,
    "lines.linewidth": 4.0, "axes.prop_cycle": "cycler('color', ['r'])", "savefig.bbox": "tight",
    "savefig.transparent": True, "axes.facecolor": "black", "svg.hashsalt": "mine",
}  # fmt: skip


def test_a_figure_is_the_same_whatever_matplotlibrc_says(runs):
    usual = rendered(shortcut_options(runs))
    before = dict(mpl.rcParams)
    with mpl.rc_context(HOSTILE):
        assert rendered(shortcut_options(runs)) == usual
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("command", ["analysis", "analysis.benchmark"])
def test_a_command_starts_whatever_the_backend(command):
    environment = os.environ | {"MPLBACKEND": "module://matplotlib_inline.not_there"}
    arguments = [sys.executable, "-m", command, "--help"]
    subprocess.run(arguments, env=environment, cwd=CHECKOUT, check=True, capture_output=True)


NEW_FIGURE = """
from analysis.figures.drawing import Drawing

FIGURE = Drawing("my_figure", 5.5, None)
"""


def test_a_module_with_a_drawing_is_all_that_a_new_figure_takes(tmp_path, monkeypatch):
    (tmp_path / "my_figure.py").write_text(NEW_FIGURE)
    monkeypatch.setattr(figures, "__path__", [*figures.__path__, str(tmp_path)])
    found = [drawing.name for drawing in figures._registered()]
    assert found.index("my_figure") == found.index("optimisation_speed") + 1
    known = [drawing.name for drawing in DRAWINGS]
    assert [name for name in found if name != "my_figure"] == known
    assert len(set(known)) == len({drawing.order for drawing in DRAWINGS}) == len(known)
    for drawing in DRAWINGS:
        assert bool(drawing.title) == bool(drawing.reading)
        assert drawing.section in ("answer", "figures", "comparison")


@pytest.mark.parametrize(
    ("draw", "panels"),
    [
        (learning_curves, ["plain", "residual A", "residual B"]),
        (error_by_depth, [""]),
        (lambda runs: optimisation_speed(runs, (85.0, 0.0)), ["down to 85 %"]),
        (shortcut_options, ["training error", "test error"]),
    ],
)
def test_each_figure_names_its_panels_and_its_runs_and_cuts_nothing_off(draw, panels, runs):
    figure = draw(runs)
    assert [axes.get_title() for axes in figure.axes] == panels
    part = runs[(runs["kind"] == "plain") & (runs["seed"] == 0)]
    one_family = draw(part.assign(data=r"my $\frac data$"))
    for each, words in (
        (figure, ("embedded shapes", "quick, 120 iterations", "Seeds: 0, 1")),
        (one_family, (r"my \$\frac data\$", "Seed: 0")),
    ):
        each.draw_without_rendering()
        caption = " ".join(each.get_supxlabel().split())
        assert all(word in caption for word in words)
        for text in (*each.legends, each._supxlabel):
            box = text.get_window_extent()
            assert 0 <= box.x0 <= box.x1 <= each.bbox.width
            assert -1 <= box.y0 <= box.y1 <= each.bbox.height + 1
    assert draw(runs[0:0]).axes


def test_learning_curves_draw_the_means_and_mark_the_milestones(runs):
    figure = learning_curves(runs)
    drawn = curves(figure)["plain"]
    assert [style for style, _, _ in drawn] == ["--", "-", "--", "-"]
    cell = runs[(runs["kind"] == "plain") & (runs["depth"] == 8)].groupby("iteration")
    for (_, x, y), error in zip(drawn, ("train_error", "test_error"), strict=False):
        expected = cell[error].mean().dropna()
        assert list(x) == expected.index.tolist()
        assert list(y) == pytest.approx(expected.tolist())
    lines = figure.axes[0].get_lines()
    assert [line.get_xdata()[0] for line in lines if len(line.get_xdata()) == 2] == [60, 90]


def test_the_papers_curves_lie_under_runs_of_its_protocol_only(runs):
    deep = runs.assign(depth=runs["depth"].map({8: 20, 14: 56}))
    iteration = deep["iteration"] * 64_000 // 120
    same = deep.assign(paper_iterations=64_000, iteration=iteration)
    for different, beside in (
        ({}, [4, 4, 0]),
        ({"paper_iterations": 0}, [0, 0, 0]),
        ({"paper_iterations": 8_000}, [2, 4, 0]),
    ):
        drawn = curves(learning_curves(same.assign(**different))).values()
        assert [len(lines) for lines in drawn] == [4 + papers for papers in beside]
    figure = learning_curves(same)
    _, x, y = curves(figure)["plain"][-1]
    assert x[-1] > 60_000
    assert y[-1] == pytest.approx(13.23, abs=0.2)
    top = 5 * np.ceil(
        1.25 * same.groupby("run_id")[["train_error", "test_error"]].last().max().max() / 5
    )
    assert {axes.get_ylim() for axes in figure.axes} == {(0, min(top, 100))}
    low = same.assign(train_error=same["train_error"] / 10, test_error=same["test_error"] / 10)
    assert {axes.get_ylim() for axes in learning_curves(low).axes} == {(0, 20)}


def test_a_seed_that_is_not_at_its_end_does_not_bend_the_mean(runs):
    cell = runs[(runs["kind"] == "plain") & (runs["depth"] == 8)]
    late = runs["run_id"] == cell[cell["seed"] == 1]["run_id"].iloc[0]
    running = runs.assign(state=runs["state"].mask(late, "running"))
    _, _, y = curves(learning_curves(running[~(late & (runs["iteration"] > 60))]))["plain"][0]
    assert list(y) == pytest.approx(cell[cell["seed"] == 0]["train_error"].tolist())


def test_error_by_depth_draws_the_final_means_on_a_logarithmic_axis_to_1202_layers(runs):
    means = final_errors(runs).groupby(["family", "depth"])["test_error"].mean()
    (axes,) = error_by_depth(runs, "test_error").axes
    line = next(line for line in axes.lines if line.get_label() == "residual A")
    assert list(line.get_xdata()) == [8, 14]
    assert list(line.get_ydata()) == pytest.approx(means["residual-A"].tolist())
    assert axes.get_xscale() == "linear"
    deep = error_by_depth(runs.assign(depth=runs["depth"].map({8: 20, 14: 1202})))
    assert deep.axes[0].get_xscale() == "log"
    assert "last 100 % of" in error_by_depth(set_final_share(runs, 1.0)).get_supxlabel()


def test_speed_draws_the_iterations_and_marks_who_never_got_there(runs):
    reached = iterations_to_reach(runs, (85.0, 0.0))
    assert reached[reached["level"] == 0]["iterations"].isna().all()
    reached = reached[reached["level"] == 85]
    lines = optimisation_speed(runs, (85.0, 0.0)).axes[0].get_lines()
    plain = reached[reached["family"] == "plain"].groupby("depth")["iterations"]
    line = next(line for line in lines if line.get_label() == "plain")
    expected = plain.agg(lambda iterations: iterations.mean(skipna=False))
    np.testing.assert_array_equal(line.get_ydata(), expected)
    crosses = [len(line.get_xdata()) for line in lines if line.get_marker() == "x"]
    assert sum(crosses) == reached["iterations"].isna().sum()


def test_options_are_drawn_as_differences_with_bars(runs):
    finals = final_errors(runs)
    for axes, error in zip(shortcut_options(runs).axes, ("train_error", "test_error"), strict=True):
        table = family_difference(finals, "residual-B", "residual-A", error)
        line, _, (bars,) = axes.containers[0].lines
        assert list(line.get_ydata()) == pytest.approx(table["difference"].tolist())
        ends = [segment[:, 1] for segment in bars.get_segments()]
        np.testing.assert_allclose(ends, table[["low", "high"]])


def test_a_difference_is_hollow_where_one_of_its_two_options_did_not_start(runs):
    def hollow(figure):
        lines = [line for axes in figure.axes for line in axes.get_lines()]
        return [*np.concatenate([ln.get_xdata() for ln in lines if ln.get_mfc() == "white"])]

    deep = runs["depth"] == 14
    figure = shortcut_options(runs.assign(started=~deep | (runs["shortcut"].fillna("") != "B")))
    assert (hollow(figure), "Hollow" in figure.get_supxlabel()) == ([14, 14], True)
    # Plain networks are in none of these differences.
    figure = shortcut_options(runs.assign(started=~deep | (runs["kind"] != "plain")))
    assert (hollow(figure), "Hollow" in figure.get_supxlabel()) == ([], False)


def test_networks_that_did_not_start_are_grey_or_hollow_and_named(runs):
    stuck = runs.assign(started=(runs["kind"] != "plain") | (runs["depth"] != 14))
    figure = learning_curves(stuck)
    grey = to_rgba(NOT_STARTED)
    drawn = [
        {to_rgba(line.get_color()) for line in axes.get_lines() if len(line.get_xdata()) > 2}
        for axes in figure.axes
    ]
    assert [grey in colors for colors in drawn] == [True, False, False]
    assert len(drawn[0]) == 2
    assert "Grey: did not start (training loss at chance): plain at 14 layers." in (
        " ".join(figure.get_supxlabel().split())
    )
    assert "did not start" in [text.get_text() for text in figure.legends[0].get_texts()]
    figure = error_by_depth(stuck)
    hollow = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "white"]
    assert [list(line.get_xdata()) for line in hollow if len(line.get_xdata())] == [[14]]
    assert "Hollow: did not start, or not finished." in " ".join(figure.get_supxlabel().split())
    assert "Hollow" not in error_by_depth(runs.assign(started=True)).get_supxlabel()


def described(figure):
    """What the page reads from the ids of a figure's SVG: a dictionary of lists per artist."""
    ids = re.findall(r'<g id="([^"]*=[^"]*)"', rendered(figure)["svg"].decode())
    return [parse_qs(html.unescape(found)) for found in ids]


def test_the_svg_says_what_each_curve_shows_and_what_its_axes_span(runs):
    facts = described(learning_curves(runs))
    panels = [fact for fact in facts if "top" in fact]
    assert [panel["family"] for panel in panels] == [["plain"], ["residual A"], ["residual B"]]
    assert {(*panel["x"], *panel["left"]) for panel in panels} == {("iteration", "0.0")}
    named = {
        (*fact["name"], *fact["family"], *fact["depth"], *fact["y"])
        for fact in facts
        if "name" in fact
    }
    cell = runs[(runs["kind"] == "plain") & (runs["depth"] == 8)]
    for y in ("training error (%)", "test error (%)"):
        assert (*cell["run_id"].unique(), "plain", "8", y) in named
        assert ("mean of 2 seeds", "plain", "8", y) in named
    (axes, *marks) = described(error_by_depth(runs, "test_error"))
    assert axes["x"] == ["depth"]
    mean = next(mark for mark in marks if mark.get("name") == ["residual A"])
    assert (mean["x"], mean["y"]) == (["8", "14"], ["final test error (%)"])
    assert all("mean of 2 seeds, 95 % interval" in note for note in mean["note"])
    seeds = [mark["name"] for mark in marks if len(mark.get("name", [])) > 1]
    assert sorted(itertools.chain(*seeds)) == sorted(runs["run_id"].unique())


def test_long_curves_are_thinned_from_their_end(runs, monkeypatch):
    module = import_module("analysis.figures.learning_curves")
    monkeypatch.setattr(module, "MOST_POINTS", 150)
    (line, *_) = curves(learning_curves(runs))["plain"]
    rows = runs[(runs["kind"] == "plain") & (runs["depth"] == 8)]["iteration"].unique()
    assert len(line[1]) < len(rows) / 2
    assert line[1][-1] == rows.max()

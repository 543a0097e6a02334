"""Figures draw the numbers they are given, and say what they were made from."""

from itertools import pairwise

import numpy as np
import pytest

from analysis.figures import error_by_depth, learning_curves, optimisation_speed, shortcut_options
from analysis.figures.style import depth_colors
from analysis.statistics import (
    family_difference,
    final_errors,
    iterations_to_reach,
    set_final_share,
)

ALL = (learning_curves, error_by_depth, optimisation_speed, shortcut_options)


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


def test_learning_curves_draw_the_means_and_mark_the_milestones(runs):
    figure = learning_curves(runs)
    drawn = curves(figure)
    assert list(drawn) == ["plain", "residual A", "residual B"]
    for lines in drawn.values():
        assert [style for style, _, _ in lines] == ["--", "-", "--", "-"]
    cell = runs[(runs["kind"] == "plain") & (runs["depth"] == 8)].groupby("iteration")
    for (_, x, y), error in zip(drawn["plain"], ("train_error", "test_error"), strict=False):
        expected = cell[error].mean().dropna()
        assert list(x) == expected.index.tolist()
        assert list(y) == pytest.approx(expected.tolist())
    lines = figure.axes[0].get_lines()
    assert [line.get_xdata()[0] for line in lines if len(line.get_xdata()) == 2] == [60, 90]


def test_the_papers_curves_lie_under_runs_of_its_protocol_only(runs):
    def counted(runs):
        return [len(lines) for lines in curves(learning_curves(runs)).values()]

    deep = runs.assign(depth=runs["depth"].map({8: 20, 14: 56}))
    iteration = deep["iteration"] * 64_000 // 120
    same = deep.assign(data="CIFAR-10", schedule="paper", settings="", iteration=iteration)
    plain, residual, other = counted(runs)
    assert counted(same) == [plain + 4, residual + 4, other]
    figure = learning_curves(same)
    _, x, y = curves(figure)["plain"][-1]
    assert x[-1] > 60_000
    assert y[-1] == pytest.approx(13.23, abs=0.2)
    assert {axes.get_ylim() for axes in figure.axes} == {(0, 20)}
    for different in ({"data": "CIFAR-10 (JPEG)"}, {"settings": "model.width=4"}):
        assert counted(same.assign(**different)) == [plain, residual, other]


def test_a_seed_that_is_not_at_its_end_does_not_bend_the_mean(runs):
    late = (runs["kind"] == "plain") & (runs["seed"] == 1) & (runs["depth"] == 8)
    running = runs[~(late & (runs["iteration"] > 60))].copy()
    running.loc[running["run_id"].isin(runs[late]["run_id"]), "state"] = "running"
    _, _, y = curves(learning_curves(running))["plain"][0]
    cell = runs[(runs["kind"] == "plain") & (runs["depth"] == 8) & (runs["seed"] == 0)]
    assert list(y) == pytest.approx(cell.sort_values("iteration")["train_error"].tolist())


@pytest.mark.parametrize("families", [1, 3])
def test_nothing_is_cut_off_at_the_edges(runs, families):
    kept = runs[runs["run_id"].str.startswith(("plain", "residual-A", "residual-B")[:families])]
    for draw in ALL:
        figure = draw(kept)
        figure.draw_without_rendering()
        for text in (*figure.legends, figure._supxlabel):
            box = text.get_window_extent()
            assert box.x0 >= 0, draw.__name__
            assert box.x1 <= figure.bbox.width, draw.__name__
            assert box.y0 >= -1, draw.__name__
            assert box.y1 <= figure.bbox.height + 1, draw.__name__


def test_a_dollar_in_a_label_is_a_dollar(runs):
    figure = error_by_depth(runs.assign(data=r"my $\frac data$"))
    figure.draw_without_rendering()
    assert r"my \$\frac data\$" in figure.get_supxlabel()


def test_1202_layers_have_a_logarithmic_axis(runs):
    deep = runs.assign(depth=runs["depth"].map({8: 20, 14: 1202}))
    assert error_by_depth(deep).axes[0].get_xscale() == "log"
    assert error_by_depth(runs).axes[0].get_xscale() == "linear"


def test_error_by_depth_draws_the_final_means(runs):
    means = final_errors(runs).groupby(["family", "depth"])["test_error"].mean()
    lines = {line.get_label(): line for line in error_by_depth(runs, "test_error").axes[0].lines}
    for family, title in (("plain", "plain"), ("residual-A", "residual A")):
        assert list(lines[title].get_xdata()) == [8, 14]
        assert list(lines[title].get_ydata()) == pytest.approx(means[family].tolist())


def test_speed_draws_the_iterations_and_marks_who_never_got_there(runs):
    reached = iterations_to_reach(runs, (85.0, 0.0))
    assert reached[reached["level"] == 0]["iterations"].isna().all()
    reached = reached[reached["level"] == 85]
    (axes,) = optimisation_speed(runs, (85.0, 0.0)).axes
    assert axes.get_title() == "down to 85 %"
    plain = reached[reached["family"] == "plain"].groupby("depth")["iterations"]
    line = next(line for line in axes.get_lines() if line.get_label() == "plain")
    expected = plain.agg(lambda iterations: iterations.mean(skipna=False))
    np.testing.assert_array_equal(line.get_ydata(), expected)
    crosses = [len(line.get_xdata()) for line in axes.get_lines() if line.get_marker() == "x"]
    assert sum(crosses) == reached["iterations"].isna().sum()


def test_options_are_drawn_as_differences_with_bars(runs):
    finals = final_errors(runs)
    figure = shortcut_options(runs)
    for axes, error in zip(figure.axes, ("train_error", "test_error"), strict=True):
        table = family_difference(finals, "residual-B", "residual-A", error)
        line, _, (bars,) = axes.containers[0].lines
        assert list(line.get_ydata()) == pytest.approx(table["difference"].tolist())
        ends = [segment[:, 1] for segment in bars.get_segments()]
        np.testing.assert_allclose(ends, table[["low", "high"]])


def text_of(figure):
    words = [figure.get_supxlabel()]
    for axes in figure.axes:
        words += [axes.get_title(), axes.get_xlabel(), axes.get_ylabel()]
    return " | ".join(words)


def test_figures_say_what_they_were_made_from(runs):
    for figure in (learning_curves(runs), error_by_depth(runs)):
        for words in ("embedded shapes", "quick, 120 iterations", "Seeds: 0, 1", "(%)"):
            assert words in text_of(figure)
    assert "iteration" in text_of(learning_curves(runs))
    assert "last 100 % of" in text_of(error_by_depth(set_final_share(runs, 1.0)))


def test_figures_take_any_part_of_a_frame(runs):
    part = runs[(runs["shortcut"] == "A") & (runs["seed"] == 0)]
    assert list(curves(learning_curves(part))) == ["residual A"]
    assert "Seed: 0" in text_of(error_by_depth(part))
    assert all(draw(runs[0:0]).axes for draw in ALL)


def test_depths_are_told_apart_in_grey():
    """The deeper the darker, with a step that a reader can see."""
    colors = depth_colors([110, 20, 32, 56, 44])
    grey = [0.299 * r + 0.587 * g + 0.114 * b for r, g, b, _ in colors.values()]
    assert list(colors) == [20, 32, 44, 56, 110]
    assert all(a - b > 0.08 for a, b in pairwise(grey))

"""Figures draw the numbers they are given, and say what they were made from."""

from itertools import pairwise

import numpy as np
import pytest

from analysis.figures import (
    error_by_depth,
    learning_curves,
    optimisation_speed,
    shortcut_options,
)
from analysis.figures.style import depth_colors
from analysis.statistics import family_difference, final_errors, iterations_to_reach


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
        data="CIFAR-10",
        schedule="paper",
        settings="",
        iteration=deep["iteration"] * 64_000 // 120,
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
    for axes in learning_curves(same).axes:
        assert axes.get_ylim() == (0, 20)
    for other in (same.assign(data="CIFAR-10 (JPEG)"), same.assign(settings="model.width=4")):
        assert {t: len(lines) for t, lines in curves(learning_curves(other)).items()} == ours


def test_a_seed_that_is_not_at_its_end_does_not_bend_the_mean(runs):
    late = (runs["kind"] == "plain") & (runs["seed"] == 1) & (runs["depth"] == 8)
    running = runs[~(late & (runs["iteration"] > 60))].copy()
    running.loc[running["run_id"].isin(runs[late]["run_id"]), "state"] = "running"
    _, _, y = curves(learning_curves(running))["plain"][0]
    cell = runs[(runs["kind"] == "plain") & (runs["depth"] == 8) & (runs["seed"] == 0)]
    assert list(y) == pytest.approx(cell.sort_values("iteration")["train_error"].tolist())


@pytest.mark.parametrize("families", [1, 2, 3])
def test_nothing_is_cut_off_at_the_edges(runs, families):
    kept = runs[runs["run_id"].str.startswith(("plain", "residual-A", "residual-B")[:families])]
    for draw in (learning_curves, error_by_depth, optimisation_speed, shortcut_options):
        figure = draw(kept)
        figure.draw_without_rendering()
        width, height = figure.bbox.width, figure.bbox.height
        boxes = [legend.get_window_extent() for legend in figure.legends]
        boxes.append(figure._supxlabel.get_window_extent())
        for box in boxes:
            assert box.x0 >= 0, draw.__name__
            assert box.x1 <= width, draw.__name__
            assert box.y0 >= -1, draw.__name__
            assert box.y1 <= height + 1, draw.__name__


def test_a_dollar_in_a_label_is_a_dollar(runs):
    figure = error_by_depth(runs.assign(data=r"my $\frac data$"))
    figure.draw_without_rendering()
    assert r"my \$\frac data\$" in figure.get_supxlabel()


def test_1202_layers_have_a_logarithmic_axis(runs):
    deep = runs.assign(depth=runs["depth"].map({8: 20, 14: 1202}))
    assert error_by_depth(deep).axes[0].get_xscale() == "log"
    assert error_by_depth(runs).axes[0].get_xscale() == "linear"


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

"""Runs that a plateau ended early, each at its own iteration."""

import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection

from analysis.curves import milestones
from analysis.figures import learning_curves
from analysis.figures.style import provenance
from analysis.load import phases
from analysis.statistics import final_errors
from resnet_study.config import RunConfig, ScheduleConfig
from tests.analysis.made import study


def made(*ends: int, lowered: int = 30) -> pd.DataFrame:
    """A run per end, of which every row's errors are 30, 40, 50 … by its seed."""
    seeds = [[30.0 + 10 * seed] * (end // 10) for seed, end in enumerate(ends)]
    runs = study({("plain", 20): seeds}, test=0, settings="schedule.plateau.stop_early=true")
    fell = runs["iteration"] > lowered
    return runs.assign(learning_rate=np.where(fell, 0.01, 0.1), phase=fell.astype(int))


EARLY = made(60, 80, 40)


def test_a_mean_is_of_all_seeds_or_not_drawn():
    axes = learning_curves(EARLY).axes[0]
    means = [line for line in axes.get_lines() if len(line.get_xdata()) > 2]
    assert len(means) == 2
    for line in means:
        assert list(line.get_xdata()) == [10, 20, 30, 40]
        assert set(line.get_ydata()) == {40.0}
    # Each seed's own curve goes on, and ends where it ended.
    thin = [part for part in axes.collections if isinstance(part, LineCollection)]
    assert [[path[-1][0] for path in part.get_segments()] for part in thin] == [[60, 80, 40]] * 2
    assert list(final_errors(EARLY)["test_error"]) == [30.0, 40.0, 50.0]


def test_the_rate_is_marked_where_it_falls_in_all_runs_and_the_caption_says_when_they_end():
    assert milestones(EARLY) == [30]
    later = made(80, lowered=50).assign(run_id="later")
    assert milestones(pd.concat([EARLY, later])) == []
    assert "Schedule: short, up to 80 iterations." in provenance(EARLY)
    assert "Schedule: short, 60 iterations." in provenance(EARLY[EARLY["seed"] == 0])


def test_a_rate_that_falls_in_every_iteration_is_marked_nowhere():
    config = RunConfig(schedule=ScheduleConfig(decay="cosine", milestones=()))
    falling = EARLY.assign(learning_rate=1 / EARLY["iteration"], phase=phases(config, EARLY))
    assert milestones(falling) == []
    for runs, marked in ((EARLY, True), (falling, False)):
        figure = learning_curves(runs)
        dotted = [line for line in figure.axes[0].get_lines() if line.get_linestyle() == ":"]
        named = [text.get_text() for text in figure.legends[0].get_texts()]
        assert bool(dotted) == ("rate lowered" in named) == marked

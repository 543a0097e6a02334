"""Runs that a plateau ended early, each at its own iteration."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.figures.layer_responses import response_profiles
from analysis.figures.learning_curves import learning_curves, milestones
from analysis.figures.style import provenance
from analysis.page.curve_charts import learning_curves as chart
from analysis.statistics import final_errors, together


def rows_of(seed: int, end: int, lowered: int) -> pd.DataFrame:
    """A run of which every row's errors are its seed's."""
    iteration = np.arange(10, end + 1, 10)
    return pd.DataFrame(
        {
            "run_id": f"plain-{seed}", "kind": "plain", "shortcut": pd.NA, "depth": 20,
            "seed": seed, "data": "photos", "schedule": "short", "experiment": "early",
            "state": "finished", "variant": "", "settings": "schedule.plateau.stop_early=true",
            "iteration": iteration, "epoch": iteration / 10,
            "learning_rate": np.where(iteration > lowered, 0.01, 0.1),
            "train_loss": 1.0, "train_error": 10.0 * seed + 30, "clean_train_loss": 1.0,
            "clean_train_error": 10.0 * seed + 30, "test_loss": 1.0,
            "test_error": 10.0 * seed + 30, "images_per_second": 1.0, "seconds": 1.0,
        }
    )  # fmt: skip


@pytest.fixture
def early() -> pd.DataFrame:
    ends = ((60, 30), (80, 30), (40, 30))
    frames = [rows_of(seed, end, lowered) for seed, (end, lowered) in enumerate(ends)]
    return pd.concat(frames, ignore_index=True).astype({"shortcut": "string"})


def test_a_mean_is_of_all_seeds_or_not_drawn(early):
    axes = learning_curves(early).axes[0]
    means = [line for line in axes.get_lines() if len(line.get_xdata()) > 2]
    assert len(means) == 2
    for line in means:
        assert list(line.get_xdata()) == [10, 20, 30, 40]
        assert set(line.get_ydata()) == {40.0}
    found = pd.DataFrame(next(iter(chart(early).to_dict()["datasets"].values())))
    band = found[found["kind"] == "band"]
    assert set(band["run"]) == {"mean of 3 seeds"}
    assert band["iteration"].max() == 40
    # Each seed's own curve goes on, and ends where it ended.
    assert found[found["kind"] == "run"]["iteration"].max() == 80
    assert list(final_errors(early)["test_error"]) == [30.0, 40.0, 50.0]


def test_networks_end_apart(early):
    deeper = early.assign(depth=32, run_id=early["run_id"] + "-32")
    deeper = deeper[deeper["iteration"] <= 20]
    both = pd.concat([early, deeper]).assign(family="plain")
    ends = together(both).groupby("depth")["iteration"].max()
    assert ends.to_dict() == {20: 40, 32: 20}


def test_the_rate_is_marked_where_it_falls_in_all_runs_that_got_there(early):
    assert milestones(early) == [30]
    later = pd.concat([early, rows_of(3, 80, 50).astype({"shortcut": "string"})])
    assert milestones(later) == []


def test_the_caption_says_so(early):
    assert "Schedule: short, up to 80 iterations." in provenance(early)
    assert "Schedule: short, 60 iterations." in provenance(early[early["seed"] == 0])


def test_responses_are_those_of_the_last_look_at_all_seeds():
    looks = [(seed, at) for seed in (0, 1) for at in (0, 40)] + [(1, 80)]
    probes = pd.DataFrame(
        [
            {
                "run_id": f"plain-{seed}", "kind": "plain", "shortcut": pd.NA, "depth": 20,
                "seed": seed, "variant": "", "iteration": at, "measure": "response_deviation",
                "position": 1, "name": "stem", "value": float(at + seed),
            }
            for seed, at in looks
        ]
    ).astype({"shortcut": "string"})  # fmt: skip
    assert set(response_profiles(probes)["value"]) == {40.5}

"""Statistics against numbers worked by hand and against scipy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import statistics
from analysis.verdict import summary, verdict
from tests.analysis.made import study


@pytest.fixture
def runs():
    """Runs of twenty rows, which are evaluated in the last one alone."""
    ends = {
        ("plain", 20): ([40, 42], [44, 44]),
        ("plain", 110): ([88, 90], [90, 92]),
        ("residual-A", 20): ([12, 14],),
        ("residual-A", 110): ([20, 22],),
    }
    runs = study({cell: [[90.0] * 18 + end for end in seeds] for cell, seeds in ends.items()}, -1)
    runs.loc[runs["iteration"] < 200, ["clean_train_error", "test_error"]] = np.nan
    return runs


@pytest.fixture
def finals(runs):
    return statistics.final_errors(runs)


def test_a_final_value_is_the_mean_of_the_last_tenth(finals):
    assert set(finals["family"]) == {"plain", "residual-A"}
    plain = finals[(finals["family"] == "plain") & (finals["depth"] == 20)]
    assert plain["train_error"].tolist() == [41, 44]
    assert plain["clean_train_error"].tolist() == [41, 43]
    assert plain["test_error"].tolist() == [43, 45]
    assert len(finals) == 6


def test_a_final_value_is_never_the_best_one_and_only_of_finished_runs(runs):
    curve = study({("plain", 20): [[50.0] * 10 + [1.0] + [50.0] * 9]})
    assert statistics.final_errors(curve)["train_error"].tolist() == [50]
    for state in ("running", "failed", "diverged"):
        more = pd.concat([runs, study({("plain", 56): [1.0]}, state=state)])
        assert 56 not in set(statistics.final_errors(more)["depth"])


def test_cells_have_mean_deviation_and_number_of_seeds(finals):
    cells = statistics.by_cell(finals).set_index(["family", "depth"])
    plain = cells.loc[("plain", 20)]
    assert (plain["mean"], plain["n"]) == (42.5, 2)
    assert plain["std"] == pytest.approx(np.std([41, 44], ddof=1))
    assert np.isnan(cells.loc[("residual-A", 20)]["std"])


def test_degradation_is_deepest_minus_shallowest_seed_by_seed(runs, finals):
    table = statistics.degradation(finals).set_index("family")
    plain = table.loc["plain"]
    # Seed 0: 89 - 41 = 48; seed 1: 91 - 44 = 47.
    assert (plain["degradation"], plain["n"]) == (47.5, 2)
    expected = stats.t.interval(0.95, 1, 47.5, stats.sem([48, 47]))
    assert (plain["low"], plain["high"]) == pytest.approx(expected)
    residual = table.loc["residual-A"]
    assert residual["degradation"] == 8
    assert np.isnan(residual["low"])
    # A seed without its pair is not compared, and one depth has no degradation.
    paired = finals[~((finals["depth"] == 110) & (finals["seed"] == 1))]
    assert statistics.degradation(paired).set_index("family").loc["plain", "degradation"] == 48
    assert statistics.degradation(finals[finals["depth"] == 20]).empty


def test_intervals_shrink_with_agreement():
    assert statistics.interval([5.0]) is None
    assert statistics.interval([5.0, 5.0, 5.0]) == (5, 5)
    expected = stats.t.interval(0.95, 2, 5, stats.sem([4, 5, 6]))
    assert statistics.interval([4.0, 5.0, 6.0]) == pytest.approx(expected)


def test_an_interval_of_three_seeds_holds_the_true_mean_as_often_as_it_says():
    """Why verdicts rest on Student's t, and not on a bootstrap, which would promise too much."""
    samples = np.random.default_rng(0).normal(size=(300, 3))
    held = np.mean([low <= 0 <= high for low, high in map(statistics.interval, samples)])
    assert 0.91 < held < 0.98


def test_seeds_that_are_not_shared_are_compared_as_independent():
    one = pd.Series([50.0, 54.0, 52.0], index=[0, 1, 2])
    other = pd.Series([40.0, 41.0], index=[3, 4])
    difference, low, high, n = statistics.compare(one, other)
    assert (difference, n) == (pytest.approx(11.5), 2)
    expected = stats.ttest_ind(one, other, equal_var=False).confidence_interval()
    assert (low, high) == pytest.approx((expected.low, expected.high))
    # Of shared seeds the shared ones alone count: 50 - 40 and 54 - 41.
    difference, _, _, n = statistics.compare(one, other.set_axis([0, 1]))
    assert (difference, n) == (pytest.approx(11.5), 2)
    assert np.isnan(statistics.compare(one[:1], other)[1])


def test_studies_and_families_are_compared_cell_by_cell_and_seed_by_seed(finals):
    better = finals.assign(train_error=finals["train_error"] - 3)
    table = statistics.study_difference(better[better["depth"] == 20], finals)
    assert table["difference"].tolist() == pytest.approx([-3, -3])
    assert table["depth"].tolist() == [20, 20]
    assert table["n"].tolist() == [2, 1]
    table = statistics.family_difference(finals, "residual-A", "plain").set_index("depth")
    # Seed 0 alone has both: 13 - 41 at 20 layers, 21 - 89 at 110.
    assert table["difference"].to_dict() == {20: -28, 110: -68}
    assert table["n"].tolist() == [1, 1]
    assert table["low"].isna().all()
    assert statistics.family_difference(finals, "residual-B", "plain").empty


def test_the_verdict_says_depths_errors_points_and_seeds(runs):
    found = verdict(runs)
    plain = found["families"]["plain"]["training"]
    assert plain["depths"] == [20, 110]
    assert plain["errors"] == [42.5, 90]
    assert plain["degradation"] == 47.5
    assert found["families"]["residual-A"]["test"]["interval"] is None
    assert len(found["runs"]) == 6
    first, second, *_ = summary(found)
    start = "plain: training error 42.5 % at 20 layers, 90.0 % at 110 (+47.5 points"
    assert first.startswith(start)
    assert "2 seeds" in first
    assert second.endswith("one seed: no interval)")
    first, second, *_ = summary(verdict(runs[runs["depth"] == 20]))
    assert first == "no family has finished runs at two depths: no verdict"
    assert second.startswith("claim 1, insufficient")


def test_trend_equals_kendalls_tau_by_hand():
    """Three depths in order: all three pairs agree; one swap: two agree, one does not."""
    errors = {"plain": (10, 20, 30), "residual-A": (10, 30, 20)}
    depths = (20, 56, 110)
    cells = {(name, d): [errors[name][i]] for name in errors for i, d in enumerate(depths)}
    trend = statistics.depth_trend(statistics.final_errors(study(cells))).set_index("family")
    assert trend["tau"].to_dict() == pytest.approx({"plain": 1, "residual-A": (2 - 1) / 3})
    assert trend.loc["plain", "n"] == 3
    assert trend.loc["plain", "p_value"] == stats.kendalltau(depths, errors["plain"]).pvalue


def test_iterations_to_reach_is_the_first_row_at_or_below():
    curve = study({("plain", 20): [[90.0, 80.0, 50.0, 60.0, 40.0]]})
    reached = statistics.iterations_to_reach(curve, (80.0, 55.0, 10.0))["iterations"].tolist()
    assert reached == pytest.approx([20, 30, np.nan], nan_ok=True)

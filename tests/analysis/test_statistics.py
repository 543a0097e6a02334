"""Statistics against numbers worked by hand and against scipy."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.statistics import (
    add_family,
    bootstrap_interval,
    by_cell,
    compare,
    degradation,
    depth_trend,
    family_difference,
    final_errors,
    interval,
    iterations_to_reach,
    study_difference,
)
from analysis.verdict import summary, verdict


def run(kind, shortcut, depth, seed, errors, state="finished"):
    """A run of ten rows whose last row and the row before are as given."""
    rows = len(errors)
    return pd.DataFrame(
        {
            "run_id": f"{kind}-{shortcut}-{depth}-{seed}",
            "kind": kind,
            "shortcut": pd.array([shortcut or pd.NA] * rows, dtype="string"),
            "depth": depth,
            "seed": seed,
            "data": "embedded shapes",
            "state": state,
            "iteration": np.arange(1, rows + 1) * 10,
            "train_error": errors,
            "clean_train_error": [np.nan] * (rows - 1) + [errors[-1] - 1],
            "test_error": [np.nan] * (rows - 1) + [errors[-1] + 1],
        }
    )


@pytest.fixture
def runs():
    high = [90.0] * 18
    cells = [
        ("plain", None, 20, 0, [40, 42]),
        ("plain", None, 20, 1, [44, 44]),
        ("plain", None, 110, 0, [88, 90]),
        ("plain", None, 110, 1, [90, 92]),
        ("residual", "A", 20, 0, [12, 14]),
        ("residual", "A", 110, 0, [20, 22]),
    ]
    return pd.concat([run(k, s, d, i, high + tail) for k, s, d, i, tail in cells])


def test_families_are_named(runs):
    assert set(add_family(runs)["family"]) == {"plain", "residual-A"}


def test_a_final_value_is_the_mean_of_the_last_tenth(runs):
    finals = final_errors(runs)
    plain = finals[(finals["family"] == "plain") & (finals["depth"] == 20)]
    assert plain["train_error"].tolist() == [41, 44]
    assert plain["clean_train_error"].tolist() == [41, 43]
    assert plain["test_error"].tolist() == [43, 45]
    assert len(finals) == 6


def test_a_final_value_is_never_the_best_one():
    curve = pd.concat([run("plain", None, 20, 0, [50.0] * 10 + [1.0] + [50.0] * 9)])
    assert final_errors(curve)["train_error"].tolist() == [50]


def test_runs_that_did_not_finish_have_no_final_value(runs):
    for state in ("running", "failed", "diverged"):
        more = pd.concat([runs, run("plain", None, 56, 0, [1.0], state)])
        assert 56 not in set(final_errors(more)["depth"])


def test_cells_have_mean_deviation_and_number_of_seeds(runs):
    cells = by_cell(final_errors(runs)).set_index(["family", "depth"])
    plain = cells.loc[("plain", 20)]
    assert plain["mean"] == 42.5
    assert plain["std"] == pytest.approx(np.std([41, 44], ddof=1))
    assert plain["n"] == 2
    assert np.isnan(cells.loc[("residual-A", 20)]["std"])


def test_degradation_is_deepest_minus_shallowest_seed_by_seed(runs):
    table = degradation(final_errors(runs)).set_index("family")
    plain = table.loc["plain"]
    # Seed 0: 89 - 41 = 48; seed 1: 91 - 44 = 47.
    assert plain["degradation"] == 47.5
    expected = stats.t.interval(0.95, 1, 47.5, stats.sem([48, 47]))
    assert (plain["low"], plain["high"]) == pytest.approx(expected)
    assert plain["n"] == 2
    residual = table.loc["residual-A"]
    assert residual["degradation"] == 8
    assert np.isnan(residual["low"])


def test_a_seed_without_its_pair_is_not_compared(runs):
    finals = final_errors(runs)
    finals = finals[~((finals["depth"] == 110) & (finals["seed"] == 1))]
    assert degradation(finals).set_index("family").loc["plain", "degradation"] == 48


def test_one_depth_has_no_degradation(runs):
    assert degradation(final_errors(runs[runs["depth"] == 20])).empty


def test_intervals_shrink_with_agreement():
    assert interval([5.0]) is None
    low, high = interval([5.0, 5.0, 5.0])
    assert low == high == 5
    assert interval([4.0, 5.0, 6.0]) == pytest.approx(
        stats.t.interval(0.95, 2, 5, stats.sem([4, 5, 6]))
    )


def test_seeds_that_are_not_shared_are_compared_as_independent():
    one = pd.Series([50.0, 54.0, 52.0], index=[0, 1, 2])
    other = pd.Series([40.0, 41.0], index=[3, 4])
    difference, low, high, *_, n = compare(one, other)
    assert difference == pytest.approx(11.5)
    expected = stats.ttest_ind(one, other, equal_var=False).confidence_interval()
    assert (low, high) == pytest.approx((expected.low, expected.high))
    assert n == 2
    assert compare(one, other + 10)[0] == pytest.approx(1.5)
    # Of shared seeds the shared ones alone count: 50 - 40 and 54 - 41.
    shared = pd.Series([40.0, 41.0], index=[0, 1])
    assert compare(one, shared)[0] == pytest.approx(11.5)
    assert compare(one, shared)[-1] == 2
    assert np.isnan(compare(one[:1], other)[1])


def test_the_bootstrap_is_that_of_all_resamples():
    """Of three seeds there are 27 resamples; their means' quantiles are the interval."""
    values = np.array([1.0, 2.0, 6.0])
    means = [np.mean(resample) for resample in itertools.product(values, repeat=3)]
    low, high = bootstrap_interval(values)
    # 1/27 of the resamples is all ones, or all sixes: beyond the outer 2.5 %.
    assert (low, high) == (min(means), max(means))
    assert bootstrap_interval(values) == (low, high)
    assert bootstrap_interval([5.0]) is None
    low, high = bootstrap_interval(values, np.array([0.0, 1.0]))
    assert low < values.mean() - 0.5 < high


def test_the_bootstrap_of_few_seeds_is_too_narrow_and_the_interval_is_not():
    """Why verdicts rest on Student's t: how often an interval holds the true mean, n=3."""
    generator = np.random.default_rng(0)
    samples = generator.normal(size=(300, 3))
    held = {
        method: np.mean([low <= 0 <= high for low, high in map(method, samples)])
        for method in (interval, bootstrap_interval)
    }
    assert 0.91 < held[interval] < 0.98
    assert held[bootstrap_interval] < 0.85


def test_studies_are_compared_cell_by_cell(runs):
    finals = final_errors(runs)
    better = finals.assign(train_error=finals["train_error"] - 3)
    table = study_difference(better[better["depth"] == 20], finals)
    assert table["difference"].tolist() == pytest.approx([-3, -3])
    assert table["depth"].tolist() == [20, 20]
    assert table["n"].tolist() == [2, 1]


def test_the_verdict_says_depths_errors_points_and_seeds(runs):
    found = verdict(runs)
    plain = found["families"]["plain"]["training"]
    assert plain["depths"] == [20, 110]
    assert plain["errors"] == [42.5, 90]
    assert plain["degradation"] == 47.5
    assert found["families"]["residual-A"]["test"]["interval"] is None
    assert len(found["runs"]) == 6
    lines = summary(found)
    assert lines[0].startswith(
        "plain: training error 42.5 % at 20 layers, 90.0 % at 110 (+47.5 points"
    )
    assert "2 seeds" in lines[0]
    assert lines[1].endswith("one seed: no interval)")


def test_without_two_depths_there_is_no_verdict(runs):
    lines = summary(verdict(runs[runs["depth"] == 20]))
    assert lines[0] == "no family has finished runs at two depths: no verdict"
    assert lines[1].startswith("claim 1, insufficient")


def test_trend_equals_kendalls_tau_by_hand():
    """Three depths in order: all three pairs agree; one swap: two agree, one does not."""
    rising = [("plain", None, d, 0, [e]) for d, e in ((20, 10), (56, 20), (110, 30))]
    swapped = [("residual", "A", d, 0, [e]) for d, e in ((20, 10), (56, 30), (110, 20))]
    runs = pd.concat([run(k, s, d, i, tail * 2) for k, s, d, i, tail in rising + swapped])
    trend = depth_trend(final_errors(runs)).set_index("family")
    assert trend.loc["plain", "tau"] == pytest.approx(1)
    assert trend.loc["residual-A", "tau"] == pytest.approx((2 - 1) / 3)
    assert trend.loc["plain", "n"] == 3
    assert trend.loc["plain", "p_value"] == stats.kendalltau([20, 56, 110], [10, 20, 30]).pvalue


def test_families_are_compared_depth_by_depth_and_seed_by_seed(runs):
    table = family_difference(final_errors(runs), "residual-A", "plain").set_index("depth")
    # Seed 0 alone has both: 13 - 41 at 20 layers, 21 - 89 at 110.
    assert table["difference"].to_dict() == {20: -28, 110: -68}
    assert table["n"].tolist() == [1, 1]
    assert table["low"].isna().all()
    assert family_difference(final_errors(runs), "residual-B", "plain").empty


def test_iterations_to_reach_is_the_first_row_at_or_below(runs):
    curve = run("plain", None, 20, 0, [90.0, 80.0, 50.0, 60.0, 40.0])
    reached = iterations_to_reach(curve, (80.0, 55.0, 10.0)).set_index("level")["iterations"]
    assert reached[80.0] == 20
    assert reached[55.0] == 30
    assert np.isnan(reached[10.0])

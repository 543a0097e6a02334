"""Intervals and trends of small samples, against simulation and scipy.stats."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import samples
from tests.damage import given, st


def test_intervals_hold_the_true_mean_and_the_next_value_as_often_as_they_say():
    """Why verdicts rest on Student's t, and not on a bootstrap, which would promise too much."""
    values = np.random.default_rng(0).normal(size=(4000, 4))
    for interval, aim in (
        (samples.interval, np.zeros(4000)),
        (partial(samples.interval, of_next=True), values[:, 3]),
    ):
        assert interval([5.0]) is None
        assert interval([5.0, 5.0, 5.0]) == (5, 5)
        low, high = np.transpose([interval(row) for row in values[:, :3]])
        assert 0.94 < np.mean((low <= aim) & (aim <= high)) < 0.96


def test_seeds_that_are_not_shared_are_compared_as_independent():
    one = pd.Series([50.0, 54.0, 52.0], index=[0, 1, 2])
    other = pd.Series([40.0, 41.0], index=[3, 4])
    difference, low, high, n = samples.compare(one, other)
    assert (difference, n) == (pytest.approx(11.5), 2)
    expected = stats.ttest_ind(one, other, equal_var=False).confidence_interval()
    assert (low, high) == pytest.approx((expected.low, expected.high))
    # Of shared seeds the shared ones alone count: 50 - 40 and 54 - 41.
    difference, _, _, n = samples.compare(one, other.set_axis([0, 1]))
    assert (difference, n) == (pytest.approx(11.5), 2)
    assert np.isnan(samples.compare(one[:1], other)[1])
    # Samples without any spread have a difference without any doubt.
    assert samples.compare(one * 0 + 5, other * 0 + 3)[:3] == (2, 2, 2)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 50)), min_size=2, max_size=40))
def test_kendalls_tau_and_its_p_value_are_those_of_scipy(pairs):
    one, other = np.transpose(pairs)
    ranks = np.arange(len(one))
    # With ties, and without, where the p-value is exact.
    for pair in ((one, other), (ranks, other + ranks / 100)):
        expected = stats.kendalltau(*pair)
        found = samples.kendall(*pair)
        assert found == pytest.approx((expected.statistic, expected.pvalue), nan_ok=True)

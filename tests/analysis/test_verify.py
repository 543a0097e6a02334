"""Runs trained again, compared with their record."""

from __future__ import annotations

import shutil

import pytest

from analysis.statistics import interval, prediction_interval
from analysis.verify import main
from tests.analysis.conftest import RECORDED
from tests.analysis.test_collect import RUN, add_points, change, change_curve, lose_rows

OTHER = {"device_name": "another processor", "threads": 4}


@pytest.fixture
def again(tmp_path):
    """One run, trained again with the same outcome."""
    shutil.copytree(RECORDED / RUN, tmp_path / "verify" / RUN)
    return tmp_path / "verify"


@pytest.fixture
def verify(again, capsys):
    """Compares; returns exit status and words."""

    def call(record=RECORDED):
        status = main([str(again), str(record)])
        return status, capsys.readouterr().out

    return call


def test_the_same_curve_agrees_whatever_the_times(again, verify):
    change_curve(again / RUN, lambda frame: frame.assign(seconds="9.0", images_per_second="1.0"))
    status, words = verify()
    assert status == 0
    assert "agrees: bit for bit, 12 rows" in words
    assert f"{RECORDED}: confirmed" in words


def test_one_digit_on_the_same_machine_differs(again, verify):
    def edit(frame):
        frame.loc[3, "train_loss"] += "1"
        return frame

    change_curve(again / RUN, edit)
    status, words = verify()
    assert status == 1
    assert "DIFFERS: train_loss" in words
    assert "at iteration 40, recorded" in words
    assert "NOT confirmed" in words


def test_lost_rows_differ(again, verify):
    lose_rows(again / RUN, 11)
    status, words = verify()
    assert (status, "11 rows, recorded 12" in words) == (1, True)


@pytest.mark.parametrize(("points", "expected"), [(0.01, 0), (60.0, 1), (-60.0, 1)])
def test_elsewhere_the_recorded_seeds_spread_decides(again, verify, points, expected):
    change(again / RUN, **OTHER)
    add_points(again / RUN, points)
    status, words = verify()
    assert status == expected
    assert "device_name another processor, recorded AMD EPYC; threads 4, recorded 1" in words
    assert "of 2 recorded seeds 95 % of further runs lie in" in words


def test_one_recorded_seed_confirms_nothing_elsewhere(again, verify, tmp_path):
    change(again / RUN, **OTHER)
    add_points(again / RUN, 0.01)
    shutil.copytree(RECORDED / RUN, tmp_path / "record" / RUN)
    status, words = verify(tmp_path / "record")
    assert (status, "one recorded seed has no spread" in words) == (1, True)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"state": "running"}, "is running, not finished"),
        ({"data": {"fingerprint": "0"}}, "was trained on other images"),
    ],
)
def test_what_cannot_confirm_says_so(again, verify, values, reason):
    change(again / RUN, **values)
    status, words = verify()
    assert (status, reason in words) == (1, True)


def test_a_damaged_record_confirms_nothing(verify, tmp_path):
    record = tmp_path / "record"
    shutil.copytree(RECORDED, record)
    with (record / RUN / "metrics.csv").open("a") as stream:
        stream.write("1,2,3\n")
    status, words = verify(record)
    assert (status, "its checksum differs" in words) == (1, True)


def test_a_run_that_is_not_on_record_and_a_folder_that_is_not_there(
    again, verify, tmp_path, capsys
):
    record = tmp_path / "record"
    shutil.copytree(RECORDED, record)
    shutil.rmtree(record / RUN)
    assert verify(record)[0] == 1
    assert main([str(again), str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith("error: runs=")


def test_a_prediction_interval_holds_the_next_value_as_often_as_it_says():
    import numpy as np

    draws = np.random.default_rng(0).normal(size=(4000, 4))
    hits = [low <= row[3] <= high for row in draws for low, high in [prediction_interval(row[:3])]]
    assert 0.94 < np.mean(hits) < 0.96
    assert prediction_interval([1.0]) is None
    assert prediction_interval([1.0, 2.0, 4.0])[1] > interval([1.0, 2.0, 4.0])[1]

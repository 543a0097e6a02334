"""Runs trained again, compared with their record."""

from __future__ import annotations

import shutil
from functools import partial

import numpy as np
import pytest
import yaml

from analysis.statistics import interval, prediction_interval
from analysis.verify import main
from resnet_study.config import RunConfig
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
    assert f"of 12 runs in {RECORDED} 1 trained again: 1 agree, 0 differ" in words


def test_one_digit_on_the_same_machine_differs(again, verify):
    def edit(frame):
        frame.loc[3, "train_loss"] += "1"
        return frame

    change_curve(again / RUN, edit)
    status, words = verify()
    assert status == 1
    assert "DIFFERS: train_loss" in words
    assert "at iteration 40, recorded" in words
    assert "0 agree, 1 differ" in words


def test_lost_rows_differ(again, verify):
    lose_rows(again / RUN, 11)
    status, words = verify()
    assert (status, "11 rows, recorded 12" in words) == (1, True)


@pytest.fixture
def record(tmp_path):
    """A record of three seeds that end at 20, 21 and 22 % training error, 1 point more in test."""
    folder = tmp_path / "record"
    for seed, points in enumerate((20.0, 21.0, 22.0)):
        config = RunConfig.from_mapping(
            yaml.safe_load((RECORDED / RUN / "config.yaml").read_text()) | {"seed": seed}
        )
        run = folder / config.run_id
        shutil.copytree(RECORDED / RUN, run)
        (run / "config.yaml").write_text(yaml.safe_dump(config.to_mapping()))
        change_curve(run, partial(ending, train_error=points, test_error=points + 1))
    return folder


def ending(frame, **errors):
    return frame.assign(**{name: str(value) for name, value in errors.items()})


@pytest.mark.parametrize(
    ("train_error", "test_error", "expected"),
    [(25.9, 22.0, 0), (16.1, 22.0, 0), (26.1, 22.0, 1), (15.9, 22.0, 1), (21.0, 99.0, 1)],
)
def test_elsewhere_one_more_seed_would_have_to_end_there(
    again, verify, record, train_error, test_error, expected
):
    # Three seeds with deviation 1: 4.303 × sqrt(4/3) = 4.97 points about the mean of 21.
    change(again / RUN, **OTHER)
    change_curve(again / RUN, partial(ending, train_error=train_error, test_error=test_error))
    status, words = verify(record)
    assert status == expected
    assert "device_name another processor, recorded AMD EPYC; threads 4, recorded 1" in words
    assert f"training error {train_error:.2f} %, by 3 recorded seeds 16.03 to 25.97 %" in words
    assert f"test error {test_error:.2f} %, by 3 recorded seeds 17.03 to 26.97 %" in words


def test_a_run_that_was_elsewhere_before_is_not_of_the_same_machine(again, verify, record):
    other = {"hosts": ["h"], "device_name": "another", "processes": 1}
    own = other | {"device_name": "AMD EPYC"}
    change_curve(again / RUN, partial(ending, train_error=21.5, test_error=22.0))
    change(again / RUN, former_machines=[own])
    assert verify(record)[0] == 1
    change(again / RUN, former_machines=[other, own])
    status, words = verify(record)
    assert (status, "formerly on 1 × another, recorded none" in words) == (0, True)


def test_one_recorded_seed_says_nothing_elsewhere(again, verify, tmp_path):
    change(again / RUN, **OTHER)
    add_points(again / RUN, 0.01)
    shutil.copytree(RECORDED / RUN, tmp_path / "record" / RUN)
    status, words = verify(tmp_path / "record")
    assert (status, "1 recorded: no spread" in words) == (1, True)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"state": "running"}, "is running, not finished"),
        ({"data": {"fingerprint": "0"}}, "was trained on other images"),
        ({"data": None}, "was trained on other images"),
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


def test_a_record_is_not_compared_with_itself(capsys):
    assert main([str(RECORDED), str(RECORDED)]) == 2
    assert "is the record itself" in capsys.readouterr().err


def test_a_prediction_interval_holds_the_next_value_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(size=(4000, 4))
    hits = [low <= row[3] <= high for row in draws for low, high in [prediction_interval(row[:3])]]
    assert 0.94 < np.mean(hits) < 0.96
    assert prediction_interval([1.0]) is None
    assert prediction_interval([1.0, 2.0, 4.0])[1] > interval([1.0, 2.0, 4.0])[1]

"""Runs trained again, compared with their record."""

import re
import shutil
from functools import partial

import pytest

from analysis.verify import main
from tests.analysis.made import RECORDED, RUN, change, change_curve
from tests.comparison import CHECKOUT

OTHER = {"device_name": "another processor", "threads": 4}


@pytest.fixture
def again(tmp_path):
    """One run, trained again with the same outcome."""
    return shutil.copytree(RECORDED / RUN, tmp_path / "verify" / RUN)


@pytest.fixture
def verify(again, capsys):
    """Compares; returns exit status and words."""
    return lambda record=RECORDED: (
        main([str(again.parent), str(record)]),
        "".join(capsys.readouterr()),
    )


def test_the_same_curve_agrees_whatever_the_times(again, verify):
    change_curve(again, lambda frame: frame.assign(seconds="9.0", images_per_second="1.0"))
    status, words = verify()
    assert (status, "agrees: bit for bit, 12 rows" in words) == (0, True)
    assert f"of 12 runs in {RECORDED} 1 trained again: 1 agree, 0 differ" in words


def one_digit(frame):
    frame.loc[3, "train_loss"] += "1"
    return frame


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (partial(change_curve, edit=one_digit), r"train_loss \S+ at iteration 40, recorded"),
        (partial(change_curve, edit=lambda frame: frame[:11]), "11 rows, recorded 12"),
        (partial(change, state="running"), "is running, not finished"),
        (partial(change, data={"fingerprint": "0"}), "was trained on other images"),
        (partial(change, data=None), "was trained on other images"),
        (partial(change, resumed=3), "cannot be read"),
    ],
)
def test_what_differs_or_cannot_confirm_says_so(damage, reason, again, verify):
    damage(again)
    status, words = verify()
    assert status == 1
    assert re.search(f"DIFFERS: {reason}", words)
    assert "0 agree, 1 differ" in words


def ending(run, **errors):
    """Gives a run these errors in all rows."""
    change_curve(run, lambda frame: frame.assign(**{k: str(v) for k, v in errors.items()}))


@pytest.fixture
def record(tmp_path):
    """A record of three seeds that end at 20, 21 and 22 % training error, 1 point more in test."""
    config = (RECORDED / RUN / "config.yaml").read_text()
    for seed in range(3):
        run_id = RUN.replace("-s0-", f"-s{seed}-")
        run = shutil.copytree(RECORDED / RUN, tmp_path / "record" / run_id)
        (run / "config.yaml").write_text(config.replace("\nseed: 0", f"\nseed: {seed}"))
        ending(run, train_error=20.0 + seed, test_error=21.0 + seed)
    return tmp_path / "record"


@pytest.mark.parametrize(
    ("train_error", "test_error", "expected"),
    [(25.9, 22.0, 0), (16.1, 22.0, 0), (26.1, 22.0, 1), (15.9, 22.0, 1), (21.0, 99.0, 1)],
)
def test_elsewhere_one_more_seed_would_have_to_end_there(
    again, verify, record, train_error, test_error, expected
):
    # Three seeds with deviation 1: 4.303 × sqrt(4/3) = 4.97 points about the mean of 21.
    change(again, **OTHER)
    ending(again, train_error=train_error, test_error=test_error)
    status, words = verify(record)
    assert status == expected
    assert "device_name another processor, recorded AMD EPYC; threads 4, recorded 1" in words
    assert f"training error {train_error:.2f} %, by 3 recorded seeds 16.03 to 25.97 %" in words
    assert f"test error {test_error:.2f} %, by 3 recorded seeds 17.03 to 26.97 %" in words


def test_a_run_that_was_elsewhere_before_is_not_of_the_same_machine(again, verify, record):
    other = {"hosts": ["h"], "device_name": "another", "processes": 1}
    own = other | {"device_name": "AMD EPYC"}
    ending(again, train_error=21.5, test_error=22.0)
    change(again, former_machines=[own])
    assert verify(record)[0] == 1
    change(again, former_machines=[other, own])
    status, words = verify(record)
    assert (status, "formerly on 1 × another, recorded none" in words) == (0, True)
    # One recorded seed has no spread to judge by.
    for run in record.iterdir():
        if run.name != RUN:
            shutil.rmtree(run)
    status, words = verify(record)
    assert (status, "too few recorded seeds (1)" in words) == (1, True)


def test_a_control_is_compared_with_its_own_seeds_whatever_lies_beside_it(tmp_path, capsys):
    """Alone, it has no runs with batch norm from which its rate could differ."""
    record = CHECKOUT / "runs" / "recorded" / "gradients"
    (run,) = record.glob("plain-020-*-nonorm-*-s0-*")
    again = shutil.copytree(run, tmp_path / "verify" / run.name)
    change(again, **OTHER)
    change_curve(again, one_digit)
    assert main([str(again.parent), str(record)]) == 0
    assert "by 3 recorded seeds" in capsys.readouterr().out


def test_a_record_that_is_damaged_or_not_there_confirms_nothing(again, verify, folder, tmp_path):
    assert "is the record itself" in verify(again.parent)[1]
    status, words = verify(tmp_path / "nowhere")
    assert (status, words[:12]) == (2, "error: runs=")
    ending(folder / RUN, seconds="x")
    status, words = verify(folder)
    assert (status, "its record cannot be read" in words) == (1, True)
    shutil.rmtree(folder / RUN)
    status, words = verify(folder)
    assert (status, "has no such run" in words) == (1, True)

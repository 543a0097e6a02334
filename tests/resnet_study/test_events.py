"""Event files hold what metrics.csv holds, as a real TensorBoard reads them."""

from __future__ import annotations

import csv
import signal
from pathlib import Path

import pytest

from resnet_study.errors import ConfigError
from resnet_study.events import EventLog, check_logger
from resnet_study.experiment import run
from resnet_study.interruption import Interrupted, StopRequest
from resnet_study.progress import Reporter

pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")


def points(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Every scalar as TensorBoard's own reader gives it, in its order."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    reader.Reload()
    return {
        name: [(event.step, event.value) for event in reader.Scalars(name)]
        for name in reader.Tags()["scalars"]
    }


def rows(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The same from metrics.csv."""
    found: dict[str, list[tuple[int, float]]] = {}
    with (folder / "metrics.csv").open() as stream:
        for row in csv.DictReader(stream):
            for name, value in row.items():
                if name != "iteration" and value:
                    found.setdefault(name, []).append((int(row["iteration"]), float(value)))
    return found


def assert_same(folder: Path) -> None:
    expected = rows(folder)
    found = points(folder)
    # What no checkpoint has: of a run that goes on, only its own rows.
    found.pop("waiting")
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert [step for step, _ in found[name]] == [step for step, _ in values], name
        # Event files hold float32.
        assert [v for _, v in found[name]] == pytest.approx([v for _, v in values], rel=1e-6)


class StopAt(Reporter):
    def __init__(self, stop: StopRequest, at: int) -> None:
        self.stop, self.at = stop, at

    def iteration(self, iteration: int) -> None:
        if iteration == self.at:
            self.stop.signal_number = signal.SIGTERM


@pytest.mark.parametrize("first", ["tensorboard", "none"])
def test_a_resumed_run_has_each_point_once(tiny, tmp_path, first):
    """Also one that began without the logger: its first rows are written belatedly."""
    config = tiny(logger=first)
    stop = StopRequest()
    with pytest.raises(Interrupted):
        run(config, StopAt(stop, config.schedule.iterations // 2 + 1), stop=stop)
    record = run(tiny(logger="tensorboard"))
    assert record.state == "finished"
    assert_same(record.folder)


def test_points_of_a_process_that_was_killed_are_replaced(tmp_path):
    """It had logged beyond the checkpoint from which the next one goes on."""
    killed = EventLog("tensorboard", tmp_path, "iteration,train_error\n")
    for iteration in (10, 20, 30):
        killed.append({"iteration": iteration, "train_error": 50.0, "test_error": None})
    text = "iteration,train_error\n10,50.0\n"
    after = EventLog("tensorboard", tmp_path, text)
    for iteration in (20, 30, 40):
        after.append({"iteration": iteration, "train_error": 40.0})
    after.close()
    assert points(tmp_path) == {"train_error": [(10, 50.0), (20, 40.0), (30, 40.0), (40, 40.0)]}


def test_without_the_logger_nothing_is_written(tiny):
    record = run(tiny())
    assert not list(record.folder.glob("events*"))


def test_the_logger_does_not_change_the_run(tiny, tmp_path):
    assert tiny(logger="tensorboard").run_id == tiny().run_id


def test_a_missing_package_is_named_before_anything_is_made(tiny, monkeypatch):
    monkeypatch.setattr("resnet_study.events.find_spec", lambda name: None)
    check_logger("none")
    with pytest.raises(ConfigError, match="logger=tensorboard: needs the extra"):
        check_logger("tensorboard")
    config = tiny(logger="tensorboard")
    with pytest.raises(ConfigError):
        run(config)
    assert not Path(config.runs_dir, config.experiment_name).exists()

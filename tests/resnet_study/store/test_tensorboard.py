"""Event files hold what metrics.csv holds, as a real TensorBoard reads them."""

from pathlib import Path

import pandas as pd
import pytest

from resnet_study.experiment import run
from resnet_study.store.tensorboard import EventLog
from resnet_study.training.events import Row
from tests.comparison import interrupted_at

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


@pytest.mark.parametrize("first", ["tensorboard", "none"])
def test_a_resumed_run_has_each_point_once(tiny, first):
    """Also one that began without the logger: its first rows are written belatedly."""
    folder = interrupted_at(tiny(logger=first), 7)
    assert bool(list(folder.path.glob("events*"))) == (first == "tensorboard")
    # The logger does not change the run: it is the same folder.
    assert run(tiny(logger="tensorboard")).folder == folder.path
    rows = pd.read_csv(folder.metrics_file, index_col="iteration").dropna(axis=1, how="all")
    found = points(folder.path)
    # What no checkpoint has: of a run that goes on, only its own rows.
    found.pop("waiting")
    assert found.keys() == set(rows)
    for name, column in rows.items():
        expected = column.dropna()
        assert [step for step, _ in found[name]] == list(expected.index), name
        # Event files hold float32.
        assert [v for _, v in found[name]] == pytest.approx(list(expected), rel=1e-6)


def test_points_of_a_process_that_was_killed_are_replaced(tmp_path):
    """It had logged beyond the checkpoint from which the next one goes on."""
    killed = EventLog(tmp_path)
    for iteration in (10, 20, 30):
        killed.append(Row(iteration, train_error=50.0))
    after = EventLog(tmp_path)
    after.append(Row(10, train_error=50.0))
    for iteration in (20, 30, 40):
        after.append(Row(iteration, train_error=40.0))
    after.close(True)
    assert points(tmp_path) == {"train_error": [(10, 50.0), (20, 40.0), (30, 40.0), (40, 40.0)]}

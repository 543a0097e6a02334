"""Runs that start from other runs' weights."""

import shutil

import pytest
import torch

from resnet_study.config import ModelConfig, StartConfig
from resnet_study.experiment import run
from resnet_study.store.folder import RunFolder
from resnet_study.system.errors import CheckpointError, ConfigError, ShortageError
from resnet_study.system.interruption import Interrupted
from tests.comparison import Stop, assert_same_end, curve


@pytest.fixture
def made(tiny):
    """Makes the description of a run that starts from another one."""

    def make(kind, layers, changes=None, **start):
        model = ModelConfig(kind=kind, depth=layers, width=4)
        return tiny(model=model, start=StartConfig(**start), **(changes or {}))

    return make


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_a_deepened_run_begins_where_the_shallow_one_ended(made, kind):
    record = run(made(kind, 20, depth=8))
    shallow = run(made(kind, 8))
    assert record.manifest["start"] == {"run": shallow.run_id, "iteration": 12}
    assert "from8" in record.run_id
    first, last = curve(record.folder)[0], curve(shallow.folder)[-1]
    assert (first["iteration"], first["train_error"]) == ("0", "")
    for name in ("clean_train_error", "test_error", "clean_train_loss"):
        assert float(first[name]) == pytest.approx(float(last[name]), rel=1e-4)

    # A shallow run that is there is not trained again.
    before = (shallow.folder / "checkpoint.pt").stat().st_mtime_ns
    run(made(kind, 14, depth=8))
    assert (shallow.folder / "checkpoint.pt").stat().st_mtime_ns == before


def test_another_runs_folder_or_id_may_be_named(made, tmp_path):
    shallow = run(made("plain", 8))
    by_id = run(made("plain", 14, run=shallow.run_id))
    elsewhere = {"runs_dir": str(tmp_path / "elsewhere")}
    by_path = made("plain", 14, elsewhere, run=f"{shallow.folder}/")
    assert by_path.run_id == by_id.run_id
    assert_same_end(run(by_path).folder, by_id.folder)
    # Of the same depth it goes on with the weights alone: a new schedule, no momentum.
    again = run(made("plain", 8, run=shallow.run_id))
    assert curve(again.folder)[0]["test_error"] == curve(shallow.folder)[-1]["test_error"]
    # Another folder's name would stand for its weights in the run's identity.
    copy = shutil.copytree(shallow.folder, tmp_path / "best")
    with pytest.raises(ConfigError, match=f"is not named {shallow.run_id}"):
        run(made("plain", 14, run=str(copy)))


def test_an_interrupted_deepened_run_ends_as_if_nothing_had_happened(made, tmp_path):
    whole = run(made("residual", 14, {"runs_dir": str(tmp_path / "whole")}, depth=8))
    config = made("residual", 14, depth=8)
    # First in the shallow run, then in the deepened one, which needs its start no more.
    for _ in range(2):
        with pytest.raises(Interrupted):
            run(config, Stop(5, 15))
    shallow = RunFolder.of(config.shallower())
    shutil.rmtree(shallow.path)
    record = run(config)
    assert_same_end(record.folder, whole.folder)
    assert record.manifest["start"] == whole.manifest["start"]
    assert not shallow.path.exists()


def test_starts_that_cannot_be_are_one_line(made, tmp_path):
    with pytest.raises(ConfigError, match=r"null where start.depth is set"):
        StartConfig(depth=8, run="x")
    with pytest.raises(ConfigError, match=r"start.depth=9: must be 6n\+2"):
        made("plain", 14, depth=9)
    with pytest.raises(ConfigError, match=r"start.depth=20: must be at most model.depth=14"):
        run(made("plain", 14, depth=20))
    with pytest.raises(ConfigError, match=r"start.run=nowhere: .* has not begun"):
        run(made("plain", 14, run="nowhere"))
    assert not (tmp_path / "runs").exists()
    # A run is not its own start.
    assert made("plain", 8, depth=8) == made("plain", 8)


def test_other_networks_and_lost_checkpoints_are_named(made):
    other = run(made("residual", 8))
    with pytest.raises(ConfigError, match="is of another network"):
        run(made("plain", 14, run=other.run_id))
    deep = run(made("plain", 20))
    with pytest.raises(ConfigError, match="has 20 layers, more than this run"):
        run(made("plain", 14, run=deep.run_id))
    shallow = run(made("plain", 8))
    (shallow.folder / "checkpoint.pt").unlink()
    with pytest.raises(ConfigError, match=r"start.depth=8: .* has no checkpoint"):
        run(made("plain", 14, depth=8))
    shutil.copy(deep.folder / "config.yaml", shallow.folder / "checkpoint.pt")
    with pytest.raises(CheckpointError, match="not a checkpoint of resnet_study"):
        run(made("plain", 14, depth=8))


def test_a_start_that_diverged_is_no_start(made):
    changes = {"schedule": {"learning_rate": 1e30}}
    shallow = run(made("plain", 8, changes))
    assert shallow.state == "diverged"
    deep = made("plain", 14, changes, depth=8)
    with pytest.raises(ConfigError, match=r"start.depth=8: .* diverged; a finished run is needed"):
        run(deep)
    assert not RunFolder.of(deep).path.exists()


def test_a_lack_of_memory_while_deepening_is_named_as_such(made, monkeypatch):
    def lacking(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB")

    monkeypatch.setattr("resnet_study.store.start.deepen", lacking)
    with pytest.raises(ShortageError, match=r"^schedule.batch_size=\d+: needs too much memory"):
        run(made("plain", 14, depth=8))

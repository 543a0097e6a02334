"""Runs that start from other runs' weights."""

from __future__ import annotations

import csv
import shutil

import pytest

from resnet_study.config import ModelConfig, StartConfig
from resnet_study.errors import CheckpointError, ConfigError
from resnet_study.experiment import run
from resnet_study.interruption import Interrupted
from tests.comparison import Stop, assert_same_end


def rows(folder):
    with (folder / "metrics.csv").open() as stream:
        return list(csv.DictReader(stream))


def model(kind, depth):
    return ModelConfig(kind=kind, depth=depth, width=4)


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_a_deepened_run_begins_where_the_shallow_one_ended(tiny, kind):
    record = run(tiny(model=model(kind, 20), start=StartConfig(depth=8)))
    shallow = run(tiny(model=model(kind, 8)))
    assert record.manifest["start"] == {"run": shallow.run_id, "iteration": 12}
    assert "from8" in record.run_id
    first, last = rows(record.folder)[0], rows(shallow.folder)[-1]
    assert first["iteration"] == "0"
    assert first["train_error"] == ""
    for error in ("clean_train_error", "test_error"):
        assert first[error] == last[error]
    assert float(first["clean_train_loss"]) == pytest.approx(
        float(last["clean_train_loss"]), rel=1e-4
    )
    assert [int(row["iteration"]) for row in rows(record.folder)] == [0, 3, 6, 9, 12]


def test_a_shallow_run_that_is_there_is_not_trained_again(tiny):
    shallow = run(tiny(model=model("plain", 8)))

    def written():
        status = (shallow.folder / "checkpoint.pt").stat()
        return status.st_ino, status.st_mtime_ns

    before = written()
    run(tiny(model=model("plain", 14), start=StartConfig(depth=8)))
    assert written() == before


def test_another_runs_folder_or_id_may_be_named(tiny, tmp_path):
    shallow = run(tiny(model=model("plain", 8)))
    by_id = run(tiny(model=model("plain", 14), start=StartConfig(run=shallow.run_id)))
    by_path = tiny(
        model=model("plain", 14),
        start=StartConfig(run=f"{shallow.folder}/"),
        runs_dir=str(tmp_path / "elsewhere"),
    )
    assert by_path.run_id == by_id.run_id
    assert_same_end(run(by_path).folder, by_id.folder)
    # Of the same depth it goes on with the weights alone: a new schedule, no momentum.
    again = run(tiny(model=model("plain", 8), start=StartConfig(run=shallow.run_id)))
    assert rows(again.folder)[0]["test_error"] == rows(shallow.folder)[-1]["test_error"]


def test_an_interrupted_deepened_run_ends_as_if_nothing_had_happened(tiny, tmp_path):
    settings = {"model": model("residual", 14), "start": StartConfig(depth=8)}
    whole = run(tiny(**settings, runs_dir=str(tmp_path / "whole"))).folder
    parts = tiny(**settings, runs_dir=str(tmp_path / "parts"))
    # First in the shallow run, then in the deepened one.
    for _ in range(2):
        with pytest.raises(Interrupted):
            run(parts, Stop(5, 15))
    assert_same_end(run(parts).folder, whole)


def test_a_run_is_not_its_own_start(tiny):
    config = tiny(model=model("plain", 8), start=StartConfig(depth=8))
    assert config == tiny(model=model("plain", 8))


@pytest.mark.parametrize(
    "start, message",
    [
        (StartConfig(depth=20), "start.depth=20: allowed is up to model.depth=14"),
        (StartConfig(run="nowhere"), "start.run=nowhere: .* has not begun"),
    ],
)
def test_starts_that_cannot_be_are_one_line(tiny, tmp_path, start, message):
    with pytest.raises(ConfigError, match=message):
        run(tiny(model=model("plain", 14), start=start))
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").glob("*/plain-014*"))
    with pytest.raises(ConfigError, match=r"null where start.depth is set"):
        StartConfig(depth=8, run="x")


def test_other_networks_and_lost_checkpoints_are_named(tiny):
    other = run(tiny(model=model("residual", 8)))
    with pytest.raises(ConfigError, match="is of another network"):
        run(tiny(model=model("plain", 14), start=StartConfig(run=other.run_id)))
    deep = run(tiny(model=model("plain", 20)))
    with pytest.raises(ConfigError, match="has 20 layers, more than this run"):
        run(tiny(model=model("plain", 14), start=StartConfig(run=deep.run_id)))
    shallow = run(tiny(model=model("plain", 8)))
    (shallow.folder / "checkpoint.pt").unlink()
    with pytest.raises(ConfigError, match=r"start.depth=8: .* has no checkpoint"):
        run(tiny(model=model("plain", 14), start=StartConfig(depth=8)))
    shutil.copy(deep.folder / "config.yaml", shallow.folder / "checkpoint.pt")
    with pytest.raises(CheckpointError, match="not a checkpoint of ours"):
        run(tiny(model=model("plain", 14), start=StartConfig(depth=8)))


def test_a_folder_of_another_name_is_refused(tiny, tmp_path):
    """Its name would stand for its weights in the run's identity."""
    shallow = run(tiny(model=model("plain", 8)))
    copy = shutil.copytree(shallow.folder, tmp_path / "best")
    with pytest.raises(ConfigError, match=f"is not named {shallow.run_id}"):
        run(tiny(model=model("plain", 14), start=StartConfig(run=str(copy))))


def test_a_run_that_has_begun_needs_its_start_no_more(tiny):
    config = tiny(model=model("plain", 14), start=StartConfig(depth=8))
    shallow = run(tiny(model=model("plain", 8)))
    with pytest.raises(Interrupted):
        run(config, Stop(5, 15))
    shutil.rmtree(shallow.folder)
    record = run(config)
    assert record.state == "finished"
    assert record.manifest["start"]["run"] == shallow.run_id
    assert not shallow.folder.exists()


def test_a_start_that_is_no_depth_is_named_before_anything_is_trained(tiny):
    with pytest.raises(ConfigError, match=r"start.depth=9: allowed is 6n\+2"):
        tiny(model=model("plain", 14), start=StartConfig(depth=9))


def test_a_start_that_diverged_is_no_start(tiny, tmp_path):
    settings = {"schedule": {"learning_rate": 1e30}}
    shallow = run(tiny(model=model("plain", 8), **settings))
    assert shallow.state == "diverged"
    deep = tiny(model=model("plain", 14), start=StartConfig(depth=8), **settings)
    with pytest.raises(ConfigError, match=r"start.depth=8: .* diverged; a finished run is needed"):
        run(deep)
    assert not (shallow.folder.parent / deep.run_id).exists()

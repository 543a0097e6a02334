"""Run folders: locks, manifests, rows."""

import errno
import fcntl
import subprocess
import sys

import pytest

from resnet_study.config import RunConfig
from resnet_study.errors import StorageError
from resnet_study.files import write_text, writing
from resnet_study.logs import MetricsLog
from resnet_study.runs import METRICS, RunFolder


@pytest.fixture
def folder(tmp_path):
    return RunFolder.of(RunConfig(runs_dir=str(tmp_path), experiment_name="e"))


def test_a_folder_is_named_by_experiment_and_run(folder, tmp_path):
    assert folder.path == tmp_path / "e" / RunConfig().run_id


def test_a_folder_alone_is_not_a_finished_run(folder):
    folder.path.mkdir(parents=True)
    MetricsLog(folder.metrics_file)
    assert folder.completed() is None
    folder.write_manifest({"state": "running"})
    assert folder.completed() is None
    folder.write_manifest({"state": "failed"})
    assert folder.completed() is None
    for state in ("finished", "diverged"):
        folder.write_manifest({"state": state})
        record = folder.completed()
        assert record is not None
        assert record.state == state
        assert record.run_id == RunConfig().run_id


@pytest.mark.parametrize("text", ["", "{", "[]", '{"state": "done"}', "\xff"])
def test_a_damaged_manifest_is_named(folder, text):
    folder.path.mkdir(parents=True)
    folder.manifest_file.write_text(text, encoding="latin-1")
    with pytest.raises(StorageError, match=r"manifest=\S*manifest.json"):
        folder.read_manifest()


def test_the_config_is_read_back(folder):
    folder.write_config(RunConfig(seed=4))
    assert folder.read_config() == RunConfig(seed=4)


def test_a_run_is_held_by_one_process_at_a_time(folder):
    with folder.lock(lambda: True) as held:
        assert held
        program = (
            "import sys; from pathlib import Path; from resnet_study.runs import RunFolder\n"
            "with RunFolder(Path(sys.argv[1])).lock(lambda: False) as held: print(held)"
        )
        other = subprocess.run(
            [sys.executable, "-c", program, str(folder.path)], capture_output=True, text=True
        )
        assert other.stdout.strip() == "False", other.stderr
    with folder.lock(lambda: False) as held:
        assert held


def test_rows_are_written_whole_and_at_full_precision(folder):
    log = MetricsLog(folder.metrics_file)
    log.append({"iteration": 5, "train_loss": 1 / 3, "learning_rate": 0.1})
    log.append({"iteration": 10, "train_loss": 2 / 3, "test_error": 12.5})
    header, first, second = folder.metrics_file.read_text().splitlines()
    assert header == ",".join(METRICS)
    assert first == f"5,,0.1,{1 / 3!r},,,,,,,"
    assert second == f"10,,,{2 / 3!r},,,,,12.5,,"
    row = folder.last_row()
    assert row is not None
    assert row["iteration"] == "10"


def test_a_row_that_is_being_written_is_not_read(folder):
    log = MetricsLog(folder.metrics_file)
    assert folder.last_row() is None
    log.append({"iteration": 5})
    with folder.metrics_file.open("a") as stream:
        stream.write("10,0.")
    row = folder.last_row()
    assert row is not None
    assert row["iteration"] == "5"


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "file"
    write_text(path, "old")

    def broken() -> None:
        with writing(path) as stream:
            stream.write(b"new, but only ha")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    write_text(path, "new")
    assert path.read_text() == "new"


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file=\S*file/inner: cannot be written"):
        write_text(tmp_path / "file" / "inner", "")


def test_a_file_system_without_locks_is_named(monkeypatch, folder):
    def flock(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    with (
        pytest.raises(StorageError, match=r"has no locks between processes \(flock\)"),
        folder.lock(lambda: False),
    ):
        pytest.fail("held")

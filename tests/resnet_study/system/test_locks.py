"""Locks, above all those of file systems without flock."""

import errno
import fcntl
import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest
from filelock import SoftFileLock

from resnet_study.experiment import run
from resnet_study.system import locks
from resnet_study.system.errors import StorageError, StudyWarning
from resnet_study.system.locks import locked
from tests.comparison import Stop, assert_same_end, in_child


def refuse(number: int, *_: object) -> None:
    raise OSError(number, os.strerror(number))


@pytest.fixture(params=locks.NO_FLOCK, ids=lambda number: errno.errorcode[number])
def no_flock(request, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", partial(refuse, request.param))


def never() -> bool:
    return False


def test_a_lock_is_held_once_and_released(no_flock, tmp_path):
    path = tmp_path / "folder" / ".lock"
    with locked(path, "runs_dir", never) as first, locked(path, "runs_dir", never) as second:
        assert first
        assert not second
    with locked(path, "runs_dir", never) as held:
        assert held
    assert [file.name for file in path.parent.iterdir()] == [".lock"]


def test_a_lock_is_waited_for(no_flock, tmp_path, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: None)
    first = locked(tmp_path / ".lock", "runs_dir", never)
    assert first.__enter__()
    asked = []

    def wait() -> bool:
        asked.append(len(asked))
        if len(asked) == 3:
            first.__exit__(None, None, None)
        return True

    with locked(tmp_path / ".lock", "runs_dir", wait) as held:
        assert held
    assert asked == [0, 1, 2]


def _lock_and_die(path: Path) -> None:
    with SoftFileLock(path):
        os.kill(os.getpid(), signal.SIGKILL)


def left_behind(path: Path) -> Path:
    """Leaves a lock's file as a killed process does."""
    in_child(_lock_and_die, path).join()
    assert path.exists()
    return path


def test_what_a_killed_process_held_is_free(no_flock, tmp_path):
    left_behind(tmp_path / ".lock.held")
    with locked(tmp_path / ".lock", "runs_dir", never) as held:
        assert held


def test_what_a_killed_process_held_is_free_where_names_cannot_be_exchanged(tmp_path, monkeypatch):
    """As on Lustre and NFS; there filelock leaves the file to us."""
    file = left_behind(tmp_path / ".lock.held")
    acquire = SoftFileLock.acquire

    def refused(self, *arguments, **options):
        if Path(self.lock_file) == file and file.exists():
            raise locks.Timeout(str(file))
        return acquire(self, *arguments, **options)

    monkeypatch.setattr(SoftFileLock, "acquire", refused)
    lock = SoftFileLock(file)
    assert locks._taken(lock)
    lock.release()


@pytest.mark.parametrize(("text", "words"), [("12\nnode7\n", "12 on node7"), ("", r"\? on \?")])
def test_another_host_is_named_with_what_to_do(text, words, no_flock, tmp_path):
    file = tmp_path / ".lock.held"
    file.write_text(text)
    words = rf"lock.held is held by process {words}; if that is gone, delete this file$"
    with (
        pytest.warns(StudyWarning, match=words),
        locked(tmp_path / ".lock", "runs_dir", never) as held,
    ):
        assert not held
    assert file.read_text() == text


def _train_and_die(config) -> None:
    fcntl.flock = partial(refuse, errno.ENOSYS)
    run(config, Stop(17, signal.SIGKILL))


@pytest.mark.slow
def test_a_killed_run_goes_on(config, undisturbed, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", partial(refuse, errno.ENOSYS))
    config = config()
    child = in_child(_train_and_die, config)
    child.join()
    assert child.exitcode == -signal.SIGKILL
    record = run(config)
    assert [entry["iteration"] for entry in record.manifest["resumed"]] == [16]
    assert_same_end(record.folder, undisturbed)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    words = r"^data.cache=\S+/file: cannot be written \(File exists\)$"
    with pytest.raises(StorageError, match=words), locked(tmp_path / "file" / "x", "data.cache"):
        pass

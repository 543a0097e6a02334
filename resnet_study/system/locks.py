"""Locks between processes, also on file systems without flock."""

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from resnet_study.system.errors import warn
from resnet_study.system.files import storage

# Errors of Lustre, Weka and NFS when they are mounted without locks.
NO_FLOCK = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


@contextmanager
def locked(path: Path, field: str, wait: Callable[[], bool] = lambda: True) -> Iterator[bool]:
    """Locks a file, so that only one process at a time does the work that it stands for.

    The lock is the operating system's (flock), so it ends with the process that holds it, however
    that ends. While one host holds it, a shared file system must refuse it to all others, until
    the process or its host is gone. NFS does so (unless mounted with nolock or local_lock), and so
    do Lustre mounted with flock, GPFS, CephFS, and BeeGFS with global locks.

    Without flock, the lock is a second file, `<path>.held`, which names the process and its host.
    It is removed if that process ran on this host and is gone. Whether a process on another host
    is gone cannot be told from here, so a warning names the file, for the user to delete.

    Args:
        path: The file, whose folder is made where it is missing. It stays when the lock ends.
        field: The setting that names its folder, for the error.
        wait: Called every second while another process holds the lock; returns whether to wait on.

    Yields:
        Whether this process holds the lock.

    Raises:
        StorageError: The folder cannot be written.
    """
    with storage(field, path.parent, "cannot be written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _acquired(path, wait)
    try:
        yield lock.is_locked
    finally:
        lock.release()


def _acquired(path: Path, wait: Callable[[], bool]) -> BaseFileLock:
    """The lock, which is held unless `wait` gave up."""
    lock, seconds = FileLock(path, fallback_to_soft=False), 0
    while True:
        try:
            with suppress(Timeout):
                lock.acquire(timeout=seconds)
        except OSError as error:
            if error.errno not in NO_FLOCK:
                raise
            break
        if lock.is_locked or not wait():
            return lock
        seconds = 1
    held = SoftFileLock(f"{path}.held")
    while not _taken(held) and wait():
        time.sleep(1)
    return held


def _taken(lock: SoftFileLock) -> bool:
    """Makes a lock file, also in place of one whose process is gone; whether that worked."""
    user = getattr(os, "getuid", int)()
    turn = SoftFileLock(Path(tempfile.gettempdir()) / f"resnet_study-{user}.lock")
    file = Path(lock.lock_file)
    # One at a time, so that no process of this host removes the file that another has just made.
    # No other host removes it.
    with turn:
        while True:
            with suppress(Timeout):
                lock.acquire(timeout=0)
                return True
            # Older versions of filelock have removed it, and then give up.
            if file.exists() and not _abandoned(file):
                break
            file.unlink(missing_ok=True)
        with suppress(OSError):
            names = turn.lock_file, file
            here, there = (Path(n).read_text("utf-8", "replace").splitlines() for n in names)
            if there[1:2] != here[1:2]:
                process, host = (*there, "?", "?")[:2]
                holder = f"process {process} on {host.partition('?pidns')[0]}"
                warn(f"{file} is held by {holder}; if that is gone, delete this file")
    return False


def _abandoned(file: Path) -> bool:
    """Whether the process that made a lock file ran on this host and is gone.

    filelock finds this out as it takes a file over, by swapping names, which Lustre and NFS
    refuse. So it is given a copy in the local folder for temporary files.
    """
    with tempfile.TemporaryDirectory() as folder, suppress(OSError):
        SoftFileLock(shutil.copy(file, folder)).acquire(timeout=0.1).lock.release()
        return True
    return False

"""Files that are either whole or not there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from resnet_study.system.errors import StorageError


def reason(error: OSError) -> str:
    """The operating system's word for what went wrong, such as "Permission denied"."""
    return error.strerror or type(error).__name__


@contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """Opens a file for writing that appears at `path` whole, or not at all.

    The bytes go to a temporary file in the same folder, which is flushed to disk and then
    renamed; the folder is flushed too, so that the new name outlives a power cut.

    Args:
        path: Where the file shall stand; an older one is replaced.

    Raises:
        StorageError: The folder cannot be written or is full; nothing has changed.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp's files are private; a run folder is meant to be read by others.
        temporary.chmod(0o644)
        temporary.replace(path)
        temporary = None
        sync_folder(path.parent)
    except OSError as error:
        raise StorageError(
            "file", path, f"cannot be written ({reason(error)}); a writable place is needed"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def remove_temporaries(path: Path) -> None:
    """Removes what a process that was killed while writing `path` has left behind.

    Only the holder of a lock on `path` may call this: others may be writing.
    """
    for temporary in path.parent.glob(f".{path.name}.*"):
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Flushes a folder's list of names to disk, so that renames outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole, or not at all, as UTF-8."""
    with writing(path) as stream:
        stream.write(text.encode())


def check_writable(folder: Path, field: str = "runs_dir") -> None:
    """Finds out whether files can be kept in a folder, which need not exist yet.

    Args:
        folder: The folder.
        field: The setting that names it, for the error.

    Raises:
        StorageError: They cannot.
    """
    existing = folder
    try:
        while not existing.exists() and existing != existing.parent:
            existing = existing.parent
        # Asking the system beats reading permissions: root and read-only disks differ.
        with tempfile.TemporaryFile(dir=existing):
            pass
        if not os.access(existing, os.X_OK):
            raise PermissionError(1, "Permission denied")
    except OSError as error:
        raise StorageError(
            field, folder, f"cannot be written ({reason(error)}); a writable folder is needed"
        ) from error

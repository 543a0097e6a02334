"""Files that are either whole or absent."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from resnet_study.system.errors import StorageError


def reason(error: OSError) -> str:
    """The operating system's name for an error, such as "Permission denied"."""
    return error.strerror or type(error).__name__


def expanded(path: str | Path) -> Path:
    """The path with the user's home in place of a leading `~`."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - leaves the name of an unknown user


@contextmanager
def storage(field: str, path: Path, problem: str) -> Iterator[None]:
    """Turns an error of the operating system into one line for the user.

    Args:
        field: What the file or folder is for, or the setting that names it.
        path: The file or folder.
        problem: What cannot be done, such as "cannot be read".

    Raises:
        StorageError: The operating system raised an error.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(field, path, f"{problem} ({reason(error)})") from error


@contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """Opens a file for writing that appears at `path` whole or not at all.

    The bytes go to a temporary file in the same folder, which is flushed to disk and renamed.
    The folder is flushed too, so that the new name survives a power cut.

    Args:
        path: The file to write; an older one is replaced.

    Raises:
        StorageError: The folder cannot be written or is full; nothing has changed.
    """
    with storage("file", path, "cannot be written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            # Files of mkstemp are private, but others may read a run folder.
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)


def remove_temporaries(path: Path) -> None:
    """Removes temporary files of a process that was killed while it wrote `path`.

    Only the holder of a lock on `path` may call this, as others may be writing.
    """
    for temporary in path.parent.glob(f".{path.name}.*"):
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Flushes a folder's list of names to disk, so that renames survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Writes a text file as UTF-8, whole or not at all."""
    with writing(path) as stream:
        # File names may be in another encoding.
        stream.write(text.encode(errors="backslashreplace"))


def check_writable(folder: Path, field: str = "runs_dir") -> None:
    """Checks that files can be written in a folder, which need not exist yet.

    Args:
        folder: The folder.
        field: The setting that names it, for the error.

    Raises:
        StorageError: Files cannot be written there.
    """
    existing = folder
    with storage(field, folder, "cannot be written"):
        while not existing.exists() and existing != existing.parent:
            existing = existing.parent
        # Trying is safer than reading permissions, which root and read-only disks ignore.
        with tempfile.TemporaryFile(dir=existing):
            pass
        if not os.access(existing, os.X_OK):
            raise PermissionError(1, "Permission denied")

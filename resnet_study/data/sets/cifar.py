"""CIFAR-10 and CIFAR-100 through torchvision: found, verified by checksum, or downloaded."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_study.data.source import Source, in_memory
from resnet_study.system.errors import DataError, StorageError

if TYPE_CHECKING:
    from resnet_study.config import DataConfig
    from resnet_study.data.images import ImageSet


def _load(config: DataConfig) -> ImageSet:
    """Loads 50,000 training and 10,000 test images, and downloads them where they are missing.

    Files are read in place, without a lock, so their folder may be read-only.

    Raises:
        DataError: Files are broken, or the archive can be neither unpacked nor downloaded.
    """
    import numpy as np
    from torchvision.datasets import CIFAR10, CIFAR100

    from resnet_study.data.images import ImageSet

    archive = {"cifar10": CIFAR10, "cifar100": CIFAR100}[config.name]
    folders = _folders(config, archive)
    train, test = _whole(archive, folders) or _fetched(archive, folders)
    images = (part.data.transpose(0, 3, 1, 2) for part in (train, test))
    labels = (np.asarray(part.targets, dtype=np.int64) for part in (train, test))
    return ImageSet(next(images), next(labels), next(images), next(labels), tuple(train.classes))


def _folders(config: DataConfig, archive: Any) -> list[Path]:
    """Where the files may lie, the configured folder first.

    The last is the cache, where files go if nothing can be written to their own folder.
    """
    import torch

    root = Path(config.root or "data")
    given = root.parent if root.name in (archive.base_folder, archive.filename) else root
    home = Path(torch.hub.get_dir()).parent
    return [given, Path("data"), home, home / "datasets", Path(config.cache)]


def _whole(archive: Any, folders: Sequence[Path]) -> tuple[Any, Any] | None:
    """Training and test images from the first folder in which all files are whole."""
    for folder in folders:
        # torchvision raises the same error for missing and for broken files.
        with suppress(RuntimeError, OSError):
            return archive(folder, train=True), archive(folder, train=False)
    return None


def _fetched(archive: Any, folders: Sequence[Path]) -> tuple[Any, Any]:
    """Training and test images from the archive, which is downloaded unless a folder holds it.

    They are unpacked in the archive's folder, or in the cache if that cannot be written.
    """
    from torchvision.datasets.utils import check_integrity

    from resnet_study.system.files import check_writable
    from resnet_study.system.locks import locked

    packed = None
    try:
        archives = (f for f in folders if check_integrity(f / archive.filename, archive.tgz_md5))
        packed = next(archives, None)
        if not packed and (found := _broken(archive, folders[:1])):
            raise DataError("data.root", *found)
        folder = folders[-1]
        with suppress(StorageError):
            check_writable(packed or folders[0])
            folder = packed or folders[0]
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        lock = folder / f".{archive.base_folder}.lock"
        with locked(lock, "folder"):
            try:
                # Another process may have unpacked it in the meantime.
                if not _whole(archive, [folder]):
                    _unpack(archive, packed, folder)
            except BaseException:
                # A mistyped root leaves no folder. Who waits for the lock notices that it is gone.
                if made:
                    lock.unlink(missing_ok=True)
                with suppress(OSError):
                    for path in made:
                        path.rmdir()
                raise
        return archive(folder, train=True), archive(folder, train=False)
    except (OSError, RuntimeError, EOFError, HTTPException, StorageError) as error:
        advice = "use a folder that holds it, or go online"
        if found := _broken(archive, folders):
            advice = f"{found[0]} {found[1]}"
        missing = "or its files are missing, and the download failed"
        problem = "cannot be unpacked" if packed else missing
        why = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        allowed = f"{archive.filename} {problem} ({why}); {advice}"
        raise DataError("data.root", folders[0], allowed) from error


def _unpack(archive: Any, packed: Path | None, folder: Path) -> None:
    """Unpacks the archive into a folder, where each file appears once it is complete.

    Args:
        archive: torchvision's class.
        packed: The archive's folder; None to download it.
        folder: Where the unpacked files belong.
    """
    from torchvision.datasets.utils import download_and_extract_archive

    fresh, inner = folder / f".{archive.base_folder}.new", folder / archive.base_folder
    # Left by a process that was killed while unpacking.
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        download_and_extract_archive(
            archive.url, packed or fresh, fresh, archive.filename, archive.tgz_md5
        )
        inner.mkdir(exist_ok=True)
        for file in (fresh / archive.base_folder).iterdir():
            file.replace(inner / file.name)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _broken(archive: Any, folders: Sequence[Path]) -> tuple[Path, str] | None:
    """The first file that is unreadable or has a wrong checksum, and what to do."""
    from torchvision.datasets.utils import check_integrity

    from resnet_study.system.files import reason

    meta = archive.meta["filename"], archive.meta["md5"]
    listed = (*archive.train_list, *archive.test_list, meta)
    files = [(f"{archive.base_folder}/{name}", md5) for name, md5 in listed]
    for folder in folders:
        for name, md5 in ((archive.filename, archive.tgz_md5), *files):
            path = folder / name
            try:
                # torchvision takes a file in an unreadable folder for a missing one.
                path.stat()
                if not check_integrity(path, md5):
                    advice = "copy it anew, or delete it to have it downloaded again"
                    return path, f"is broken: its MD5 is not {md5}; {advice}"
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                return path, f"cannot be read ({reason(error)}); use a folder whose files can be"
    return None


SOURCES = tuple(
    Source(name, in_memory(_load), lambda _: (50_000, 10_000, 32), title)
    for name, title in (("cifar10", "CIFAR-10"), ("cifar100", "CIFAR-100"))
)

"""CIFAR-10 and CIFAR-100 through torchvision, downloaded and verified by checksum."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from resnet_study.data.source import Source, in_memory
from resnet_study.system.errors import DataError

if TYPE_CHECKING:
    from resnet_study.config import DataConfig
    from resnet_study.data.images import ImageSet


def _load(config: DataConfig) -> ImageSet:
    """Loads 50,000 training and 10,000 test images, and downloads them where they are missing.

    Raises:
        DataError: The archive cannot be fetched, or its checksum is wrong.
    """
    import numpy as np
    from filelock import FileLock
    from torchvision.datasets import CIFAR10, CIFAR100

    from resnet_study.data.images import ImageSet

    name, root = config.name, Path(config.root or "data")
    archive = {"cifar10": CIFAR10, "cifar100": CIFAR100}[name]
    try:
        root.mkdir(parents=True, exist_ok=True)
        # torchvision unpacks in place: only one process may do so at a time.
        with FileLock(root / f".{name}.lock"):
            train, test = (archive(str(root), train=part, download=True) for part in (True, False))
    except (OSError, RuntimeError, EOFError) as error:
        allowed = (
            f"{name} is not there and cannot be downloaded ({str(error).splitlines()[0]}); "
            f"use a folder with {archive.filename} or a connection to fetch it"
        )
        raise DataError("data.root", root, allowed) from error
    images = (part.data.transpose(0, 3, 1, 2) for part in (train, test))
    labels = (np.asarray(part.targets, dtype=np.int64) for part in (train, test))
    return ImageSet(next(images), next(labels), next(images), next(labels), tuple(train.classes))


SOURCES = tuple(
    Source(name, in_memory(_load), lambda _: (50_000, 10_000, 32), title)
    for name, title in (("cifar10", "CIFAR-10"), ("cifar100", "CIFAR-100"))
)

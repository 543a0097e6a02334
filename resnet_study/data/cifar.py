"""CIFAR-10 and CIFAR-100 through torchvision, downloaded and verified by checksum."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from filelock import FileLock

from resnet_study.data.images import ImageSet
from resnet_study.system.errors import DataError


def load(name: str, root: Path) -> ImageSet:
    """Loads CIFAR, downloading it first where it is missing.

    Args:
        name: "cifar10" or "cifar100".
        root: Folder of the archive and its unpacked files.

    Returns:
        50,000 training and 10,000 test images of 32×32 pixels.

    Raises:
        DataError: The archive cannot be fetched, or its checksum is wrong.
    """
    # torchvision takes a second to import, and most runs do not need it.
    from torchvision.datasets import CIFAR10, CIFAR100

    source = {"cifar10": CIFAR10, "cifar100": CIFAR100}[name]
    try:
        root.mkdir(parents=True, exist_ok=True)
        # torchvision unpacks in place: only one process may do so at a time.
        with FileLock(root / f".{name}.lock"):
            train, test = (source(str(root), train=part, download=True) for part in (True, False))
    except (OSError, RuntimeError, EOFError) as error:
        reason = str(error).splitlines()[0]
        allowed = (
            f"{name} is not there and cannot be downloaded ({reason}); allowed is a folder "
            f"with {source.filename} or a connection to fetch it"
        )
        raise DataError("data.root", root, allowed) from error
    return ImageSet(
        train.data.transpose(0, 3, 1, 2),
        np.asarray(train.targets, dtype=np.int64),
        test.data.transpose(0, 3, 1, 2),
        np.asarray(test.targets, dtype=np.int64),
        tuple(train.classes),
    )

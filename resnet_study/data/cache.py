"""Image sets on disk: decoded or drawn once, whole or not at all, checked when read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from filelock import FileLock

from resnet_study.data.images import ImageSet
from resnet_study.errors import StorageError, warn
from resnet_study.files import reason, remove_temporaries, writing


def _read(path: Path, warning: bool = True) -> ImageSet | None:
    """The cached set, or None where there is none or it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            # The archive holds a CRC-32 of each array, which is checked here.
            return ImageSet(
                arrays["train_images"],
                arrays["train_labels"],
                arrays["test_images"],
                arrays["test_labels"],
                tuple(str(name) for name in arrays["classes"]),
            )
    except FileNotFoundError:
        return None
    except Exception as error:  # noqa: BLE001 - a damaged archive can raise almost anything
        if warning:
            warn(f"{path} is damaged ({type(error).__name__}) and is made again")
        return None


def cached(path: Path, build: Callable[[], ImageSet]) -> ImageSet:
    """Reads an image set from `path`, or builds it and writes it there.

    Several processes may ask at the same time: one builds, the others wait for it.

    Args:
        path: The cache file, `.npz`.
        build: Makes the set where the file is missing or damaged.

    Raises:
        StorageError: The cache folder cannot be written.
    """
    # Without the lock first: reading is the usual case, and may go on side by side.
    found = _read(path, warning=False)
    if found is not None:
        return found
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if (found := _read(path)) is not None:
                return found
            remove_temporaries(path)
            images = build()
            with writing(path) as stream:
                np.savez(
                    stream,
                    train_images=images.train_images,
                    train_labels=images.train_labels,
                    test_images=images.test_images,
                    test_labels=images.test_labels,
                    classes=np.asarray(images.classes),
                )
            return images
    except OSError as error:
        raise StorageError(
            "data.cache", path.parent, f"cannot be written ({reason(error)})"
        ) from error

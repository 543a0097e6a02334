"""Arrays on disk: decoded, drawn or measured once, and checked when they are read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from resnet_study.data.images import ImageSet
from resnet_study.system.errors import warn
from resnet_study.system.files import remove_temporaries, storage, writing
from resnet_study.system.locks import locked

Arrays = dict[str, NDArray[Any]]


def _read(path: Path, warning: bool = True) -> Arrays | None:
    """The cached arrays, or None if they are missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            # Reading checks an array's CRC-32 only at its end, which a damaged shape may hide.
            if arrays.zip.testzip():
                raise BadZipFile
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        return None
    except Exception as error:  # noqa: BLE001 - a damaged archive can raise almost anything
        if warning:
            warn(f"{path} is damaged ({type(error).__name__}) and is made again")
        return None


def cached_arrays(path: Path, build: Callable[[], Arrays]) -> Arrays:
    """Reads arrays from `path`, or builds them and writes them there.

    Several processes may ask at the same time: one builds, the others wait for it.

    Args:
        path: The cache file, `.npz`.
        build: Makes the arrays where the file is missing or damaged.

    Raises:
        StorageError: The cache folder cannot be written.
    """
    # First without the lock: reading is the usual case, and several may read at once.
    if (found := _read(path, warning=False)) is not None:
        return found
    with locked(path.with_suffix(".lock"), "data.cache"):
        if (found := _read(path)) is not None:
            return found
        # Not within `storage`: an error of `build` is not the cache's.
        arrays = build()
        with storage("data.cache", path.parent, "cannot be written"):
            remove_temporaries(path)
            with writing(path) as stream:
                np.savez(stream, **arrays)  # type: ignore[arg-type]
        return arrays


def cached(path: Path, build: Callable[[], ImageSet]) -> ImageSet:
    """Like `cached_arrays`, for an image set."""

    def arrays() -> Arrays:
        images = build()
        return {name: np.asarray(getattr(images, name)) for name in _FIELDS}

    found = cached_arrays(path, arrays)
    classes = tuple(str(name) for name in found.pop("classes"))
    return ImageSet(**found, classes=classes)


_FIELDS = ("train_images", "train_labels", "test_images", "test_labels", "classes")

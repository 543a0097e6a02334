"""Folders too large for memory: `train/<class>/*` and `val/<class>/*`, listed but not read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_study.config import DataConfig
from resnet_study.data.images import balanced_indices
from resnet_study.system.errors import DataError, ImageError, warn

LAYOUT = "allowed is a folder with train/<class>/<image> and val/<class>/<image>"
# Where there is no val/.
OTHER_NAME = {"val": "test"}


class Files:
    """Image files with their labels.

    Attributes:
        root: Folder that the paths begin at.
        paths: Relative to it, `(N,)` as bytes: a list of a million texts would be copied into
            every process that reads them.
        labels: int64 `(N,)`.
    """

    def __init__(self, root: Path, paths: NDArray[np.bytes_], labels: NDArray[np.int64]) -> None:
        self.root = root
        self.paths = paths
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def path(self, index: int) -> str:
        """The path of a file."""
        return os.path.join(self.root, os.fsdecode(bytes(self.paths[index])))  # noqa: PTH118 - fast

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Of the files in bytes, `(N,)`."""
        return np.asarray([_size(self.path(i)) for i in range(len(self))], dtype=np.int64)

    def chosen(self, indices: NDArray[np.int64]) -> Files:
        """Those at these places."""
        return Files(self.root, self.paths[indices], self.labels[indices])


class Unreadable:
    """The images that could not be read: each is named once.

    Args:
        policy: "stop" or "skip".

    Attributes:
        paths: Of those that have been met, relative to the data set's folder, sorted.
    """

    def __init__(self, policy: str) -> None:
        self.policy = policy
        self.paths: list[str] = []

    def note(self, root: Path, failures: Sequence[tuple[str, str]]) -> None:
        """Notes path and reason of images that have just been met.

        Raises:
            ImageError: They are not to be skipped.
        """
        for path, why in failures:
            name = os.path.relpath(path, root)
            if name in self.paths:
                continue
            if self.policy == "stop":
                allowed = (
                    f"cannot be read ({why}); allowed is data.stream.unreadable=skip, or a folder "
                    "without it"
                )
                raise ImageError("image", path, allowed)
            self.paths.append(name)
            self.paths.sort()
            warn(f"{path} cannot be read ({why}) and is left out")


class StreamedFolder:
    """The listing of a folder that is read while a network trains.

    Args:
        config: Which folder, and how much of it.
        train: Whether the training images are needed.

    Attributes:
        root: The folder.
        classes: The classes' names, by label.
        train: Training images.
        test: Validation images, or training images that are held out.
        unreadable: Those that could not be read so far.

    Raises:
        DataError: A folder is missing or empty, or the parts have different classes.
    """

    def __init__(self, config: DataConfig, train: bool = True) -> None:
        self.config = config
        self.root = Path(config.root or "")
        if not os.path.isdir(self.root):  # noqa: PTH112 - no error for a name that is too long
            raise DataError("data.root", self.root, f"is not there; {LAYOUT}")
        self.unreadable = Unreadable(config.stream.unreadable)
        self.classes, self.test = _listed(self.root, "val")
        self.train = self.test
        if train:
            classes, self.train = _listed(self.root, "train")
            if different := set(classes) ^ set(self.classes):
                raise DataError(
                    "data.root",
                    self.root,
                    "both parts must have the same class folders; only one of them has "
                    + ", ".join(sorted(different)[:10]),
                )
        if len(self.classes) < 2:
            raise DataError("data.root", self.root, f"has one class folder; {LAYOUT}")
        self._select(config)

    def _select(self, config: DataConfig) -> None:
        """Takes the classes, the validation images and the subset that are configured."""
        if (count := config.classes) is not None:
            if count > len(self.classes):
                raise DataError(
                    "data.classes", count, f"allowed is at most the {len(self.classes)} there are"
                )
            self.classes = self.classes[:count]
            self.train = self.train.chosen(np.flatnonzero(self.train.labels < count))
            self.test = self.test.chosen(np.flatnonzero(self.test.labels < count))
        if count := config.validation_images:
            field = "data.validation_images"
            held_out = balanced_indices(self.train.labels, count, field)
            if count == len(self.train):
                raise DataError(field, count, "allowed is less than all images")
            kept = np.setdiff1d(np.arange(len(self.train)), held_out)
            self.test, self.train = self.train.chosen(held_out), self.train.chosen(kept)
        if (count := config.train_images) is not None:
            kept = balanced_indices(self.train.labels, count, "data.train_images")
            self.train = self.train.chosen(kept)

    def note(self, failures: Sequence[tuple[str, str]]) -> None:
        """Notes images that could not be read; errors as in `Unreadable.note`."""
        self.unreadable.note(self.root, failures)

    def going_on(self, unreadable: list[str]) -> list[str]:
        """The list of all that could not be read: those before, to which others are added."""
        self.unreadable.paths[:] = sorted({*self.unreadable.paths, *unreadable})
        return self.unreadable.paths

    def nothing_readable(self) -> DataError:
        """What to say of a folder where one file after another cannot be read."""
        return DataError("data.root", self.root, "holds too many files that cannot be read")

    @property
    def train_labels(self) -> NDArray[np.int64]:
        """Labels of the training images, int64 `(N,)`."""
        return self.train.labels

    def fingerprint(self) -> str:
        """Twelve hex digits that change with any file's name, class or size."""
        return _digest((self.train, self.test))[:12]

    def signature(self) -> str:
        """Sixteen hex digits that change with any training file's name, class or size."""
        return _digest((self.train,))[:16]

    def describe(self) -> dict[str, Any]:
        """What a manifest says of the images' number and size."""
        side = self.config.stream.crop
        return {
            "train_images": len(self.train),
            "test_images": len(self.test),
            "classes": len(self.classes),
            "height": side,
            "width": side,
        }


def _listed(root: Path, part: str) -> tuple[tuple[str, ...], Files]:
    """Classes and files of one part, as torchvision finds and sorts them."""
    from torchvision.datasets import ImageFolder

    folder, other = root / part, root / OTHER_NAME.get(part, part)
    if not folder.is_dir() and other.is_dir():
        folder = other
    if not folder.is_dir():
        raise DataError("data.root", root, f"has no {part}/; {LAYOUT}")
    try:
        found = ImageFolder(str(folder))
    except FileNotFoundError as error:
        # torchvision's words: a missing folder, one without classes, or empty classes.
        why = str(error).split(". Supported")[0]
        raise DataError("data.root", root, f"{why.strip().rstrip('.')}; {LAYOUT}") from error
    except OSError as error:
        raise DataError("data.root", folder, f"cannot be read; {LAYOUT}") from error
    # They all begin with the root: of a million, a slice is faster than a relative path.
    start = len(os.path.join(root, ""))  # noqa: PTH118
    names = [os.fsencode(path[start:]) for path, _ in found.samples]
    labels = np.asarray([label for _, label in found.samples], dtype=np.int64)
    return tuple(found.classes), Files(root, np.asarray(names), labels)


def _digest(parts: Sequence[Files]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        for array in (part.paths, part.labels, part.sizes):
            digest.update(f"{array.shape}{array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - of a million files
    except OSError:
        # Named when it is read.
        return -1

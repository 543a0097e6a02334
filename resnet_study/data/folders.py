"""Image folders `train/<class>/**` and `test/<class>/**` (or `val/`), listed and decoded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from resnet_study.data.decoding import quiet, read_rgb, why
from resnet_study.data.images import ImageSet, reduce_area
from resnet_study.system.errors import DataError
from resnet_study.system.files import reason

# The extensions that torchvision's ImageFolder accepts, and GIF.
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


@dataclass(frozen=True)
class Files:
    """Image files with their labels.

    Attributes:
        root: Folder that the paths are relative to.
        paths: The paths, `(N,)` as bytes: a list of a million strings would be copied into every
            process that reads them.
        labels: int64 `(N,)`.
    """

    root: Path
    paths: NDArray[np.bytes_]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def path(self, index: int) -> str:
        """The path of a file."""
        return os.path.join(self.root, os.fsdecode(bytes(self.paths[index])))  # noqa: PTH118 - fast

    def status(self, index: int) -> tuple[int, int]:
        """Size in bytes and modification time in nanoseconds; -1 and -1 for a dead link."""
        try:
            found = os.stat(self.path(index))  # noqa: PTH116 - of a million files
        except OSError:
            # The error that names the file comes when it is read.
            return -1, -1
        return found.st_size, found.st_mtime_ns

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """The files' sizes in bytes, `(N,)`."""
        return np.asarray([self.status(i)[0] for i in range(len(self))], dtype=np.int64)

    def at(self, indices: NDArray[np.int64]) -> Files:
        """The files at the given indices."""
        return Files(self.root, self.paths[indices], self.labels[indices])


class Listing(NamedTuple):
    """The contents of an image folder, before any image is read."""

    classes: tuple[str, ...]
    train: Files
    test: Files


def list_folder(root: Path, second: str, train: bool = True) -> Listing:
    """Lists an image folder: its classes and files, sorted, without hidden ones.

    Args:
        root: Folder with `train/` and a second part, each with the same class folders. Images
            may lie in folders below these.
        second: Name of the part that networks are evaluated on, "test" or "val". Where only
            the other one exists, that is used.
        train: Whether to list the training images. If not, the second part stands in for them.

    Raises:
        DataError: A folder is missing or empty, or the parts have different classes.
    """
    layout = f"use a folder with train/<class>/<image> and {second}/<class>/<image>"
    if not os.path.isdir(root):  # noqa: PTH112 - no error for a name that is too long
        raise DataError("data.root", root, f"is not there; {layout}")
    other = {"test": "val", "val": "test"}[second]
    if not (root / second).is_dir() and (root / other).is_dir():
        second = other
    classes, test = _list_part(root, second, layout)
    train_classes, files = _list_part(root, "train", layout) if train else (classes, test)
    if different := set(train_classes) ^ set(classes):
        only = ", ".join(sorted(different)[:10])
        allowed = f"train and {second} must have the same class folders; only one of them has "
        raise DataError("data.root", root, allowed + only)
    if len(classes) < 2:
        allowed = f"has {len(classes)} class folders where two are needed; {layout}"
        raise DataError("data.root", root, allowed)
    return Listing(classes, files, test)


def _list_part(root: Path, part: str, layout: str) -> tuple[tuple[str, ...], Files]:
    """Classes and files of `train/`, `val/` or `test/`."""
    folder = root / part
    try:
        with os.scandir(folder) as entries:
            classes = _shown(entry.name for entry in entries if entry.is_dir())
        by_class = [_images(os.path.join(folder, name)) for name in classes]  # noqa: PTH118
    except OSError as error:
        allowed = f"cannot be read ({reason(error)}); {layout}"
        raise DataError("data.root", error.filename, allowed) from error
    for name, paths in zip(classes, by_class, strict=True):
        if not paths:
            raise DataError("data.root", folder / name, "holds no images; add some, or remove it")
    # All paths begin with the root. A million slices are faster than a million relative paths.
    start = len(str(folder)) - len(part)
    names = [os.fsencode(path[start:]) for paths in by_class for path in paths]
    labels = np.repeat(np.arange(len(classes), dtype=np.int64), [*map(len, by_class)])
    return tuple(classes), Files(root, np.asarray(names), labels)


def _images(folder: str) -> list[str]:
    """Paths of the images in a folder and below it, in the order of torchvision's ImageFolder."""

    def fail(error: OSError) -> None:
        raise error

    found, seen = [], set()
    for at, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        if (real := os.path.realpath(at)) in seen:
            raise DataError("data.root", at, "is counted twice, through a link; remove the link")
        seen.add(real)
        folders[:] = _shown(folders)
        images = (name for name in _shown(names) if name.lower().endswith(SUFFIXES))
        found.append((at, [os.path.join(at, name) for name in images]))  # noqa: PTH118 - as above
    return [path for _, paths in sorted(found) for path in paths]


def _shown(names: Iterable[str]) -> list[str]:
    """Sorted names without hidden ones, such as `.ipynb_checkpoints` and macOS's `._` files."""
    return sorted(name for name in names if not name.startswith("."))


def signature(listing: Listing) -> str:
    """Sixteen hex digits that change when a file is added, removed, renamed or written."""
    digest = hashlib.sha256()
    for files in (listing.train, listing.test):
        for index, path in enumerate(files.paths):
            size, modified = files.status(index)
            digest.update(bytes(path) + f" {size} {modified}\n".encode())
    return digest.hexdigest()[:16]


def decode(listing: Listing, resolution: int | None) -> ImageSet:
    """Decodes all images of a folder.

    Args:
        listing: The folder.
        resolution: Each image's central square is reduced to this side by area, so images may
            differ in size. With None all must have one size, which is kept.

    Raises:
        DataError: An image cannot be decoded, or differs in size from the others.
    """
    quiet()
    train, test = listing.train, listing.test
    paths = [files.path(index) for files in (train, test) for index in range(len(files))]
    images = np.empty((len(paths), *_decode(paths[0], resolution).shape), dtype=np.uint8)

    def fill(index: int) -> None:
        image = _decode(paths[index], resolution)
        if image.shape != images.shape[1:]:
            size, usual = (f"{shape[-1]}x{shape[-2]}" for shape in (image.shape, images.shape))
            allowed = f"is {size} where others are {usual}; use one size, or set data.resolution"
            raise DataError("data.root", paths[index], allowed)
        images[index] = image

    # Decoding releases the interpreter, so threads share the work.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(fill, range(len(paths))))
    tested = len(train)
    return ImageSet(images[:tested], train.labels, images[tested:], test.labels, listing.classes)


def _decode(path: str, resolution: int | None) -> NDArray[np.uint8]:
    """One image as uint8 `(3, H, W)`."""
    try:
        picture = read_rgb(path)
    except Exception as error:
        allowed = f"cannot be read ({why(error)}); repair or remove it"
        raise DataError("image", path, allowed) from error
    if resolution is not None:
        side = min(picture.size)
        if side < resolution:
            allowed = f"{path} is {picture.width}x{picture.height}; must be at most {side}"
            raise DataError("data.resolution", resolution, allowed)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        picture = picture.crop((left, top, left + side, top + side))
    pixels = np.asarray(picture).transpose(2, 0, 1)
    return pixels if resolution is None else reduce_area(pixels[None], resolution)[0]

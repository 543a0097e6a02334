"""Image folders `train/<class>/*` and `test/<class>/*`, decoded once into arrays."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_study.data.images import ImageSet, reduce_area
from resnet_study.system.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm")
LAYOUT = "allowed is a folder with train/<class>/<image> and test/<class>/<image>"

# (path, size in bytes, modification time in ns)
File = tuple[Path, int, int]


def _files(folder: Path) -> list[File]:
    try:
        with os.scandir(folder) as entries:
            found = [
                (Path(entry.path), entry.stat().st_size, entry.stat().st_mtime_ns)
                for entry in entries
                if entry.name.lower().endswith(SUFFIXES) and entry.is_file()
            ]
    except OSError as error:
        raise DataError("data.root", folder, f"cannot be read; {LAYOUT}") from error
    return sorted(found)


def _classes(folder: Path) -> tuple[str, ...]:
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if e.is_dir() and not e.name.startswith(".")]
    except OSError as error:
        raise DataError("data.root", folder, f"cannot be read; {LAYOUT}") from error
    return tuple(sorted(names))


class ImageFolder:
    """The listing of an image folder: what would be decoded, before anything is.

    Args:
        root: Folder with `train/` and `test/`, each with the same class folders.

    Raises:
        DataError: A folder is missing or empty, or the parts have different classes.
    """

    def __init__(self, root: Path) -> None:
        if not os.path.isdir(root):  # noqa: PTH112 - no error for a name that is too long
            raise DataError("data.root", root, f"is not there; {LAYOUT}")
        self.root = root
        self.classes = _classes(root / "train")
        if len(self.classes) < 2:
            raise DataError(
                "data.root", root / "train", f"has {len(self.classes)} class folders; {LAYOUT}"
            )
        if different := set(self.classes) ^ set(_classes(root / "test")):
            raise DataError(
                "data.root",
                root,
                "train and test must have the same class folders; only one of them has "
                + ", ".join(sorted(different)),
            )
        self.files: dict[str, list[list[File]]] = {}
        for part in ("train", "test"):
            self.files[part] = [_files(root / part / name) for name in self.classes]
            for name, files in zip(self.classes, self.files[part], strict=True):
                if not files:
                    raise DataError("data.root", root / part / name, "holds no images")

    def signature(self) -> str:
        """Changes when a file is added, removed, renamed, or written to."""
        digest = hashlib.sha256()
        for part, by_class in self.files.items():
            for files in by_class:
                for path, size, modified in files:
                    digest.update(f"{part}/{path.parent.name}/{path.name}".encode())
                    digest.update(f" {size} {modified}\n".encode())
        return digest.hexdigest()[:16]

    def decode(self, resolution: int | None) -> ImageSet:
        """Decodes all images.

        Args:
            resolution: With a number, each image's central square is reduced to this
                side by area, so images may differ in size. With None all must have one
                size, which is kept.

        Raises:
            DataError: An image cannot be decoded or has another size than the others.
        """
        parts = [self._decode_part(part, resolution) for part in ("train", "test")]
        (train, train_labels), (test, test_labels) = parts
        if train.shape[1:] != test.shape[1:]:
            allowed = (
                f"train has images of {_size(train.shape)} and test of {_size(test.shape)}; "
                "allowed is one size, or any with data.resolution set"
            )
            raise DataError("data.root", self.root, allowed)
        return ImageSet(train, train_labels, test, test_labels, self.classes)

    def _decode_part(
        self, part: str, resolution: int | None
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        paths = [path for files in self.files[part] for path, _, _ in files]
        counts = [len(files) for files in self.files[part]]
        labels = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
        first = _decode(paths[0], resolution)
        images = np.empty((len(paths), *first.shape), dtype=np.uint8)

        def fill(i: int) -> None:
            image = _decode(paths[i], resolution)
            if image.shape != first.shape:
                allowed = (
                    f"is {_size(image.shape)} where others are {_size(first.shape)}; "
                    "allowed is one size, or any with data.resolution set"
                )
                raise DataError("data.root", paths[i], allowed)
            images[i] = image

        # Decoding releases the interpreter, so threads share the work.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for _ in pool.map(fill, range(len(paths)), chunksize=256):
                pass
        return images, labels


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[-1]}x{shape[-2]}"


def _decode(path: Path, resolution: int | None) -> NDArray[np.uint8]:
    """One image as uint8 `(3, H, W)`."""
    try:
        with Image.open(path) as image:
            picture = image.convert("RGB")
    except Exception as error:
        raise DataError("data.root", path, "cannot be read as an image") from error
    if resolution is not None:
        side = min(picture.size)
        if side < resolution:
            allowed = f"{path} is {picture.width}x{picture.height}; allowed is at most {side}"
            raise DataError("data.resolution", resolution, allowed)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        picture = picture.crop((left, top, left + side, top + side))
    pixels = np.asarray(picture).transpose(2, 0, 1)
    return pixels if resolution is None else reduce_area(pixels[None], resolution)[0]

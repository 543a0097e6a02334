"""A folder of images of all kinds that people have.

The figures of the embedded shapes, enlarged to many sizes and written in many modes and
formats; some files are no images.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from resnet_study.data import shapes

Writer = Callable[[Image.Image, Path], Path]
ORIENTATION = 0x0112


def _saved(image: Image.Image, path: Path, suffix: str, **options: object) -> Path:
    path = path.with_suffix(suffix)
    image.save(path, **options)
    return path


def _turned(image: Image.Image, path: Path) -> Path:
    """Stored on its side, with the EXIF orientation that says so."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    return _saved(image.transpose(Image.Transpose.ROTATE_90), path, ".jpg", exif=exif)


def _deep(image: Image.Image, path: Path) -> Path:
    levels = np.asarray(image.convert("L")).astype(np.uint16) * 257
    return _saved(Image.fromarray(levels), path, ".png")


def _transparent(image: Image.Image, path: Path) -> Path:
    shown = image.convert("RGBA")
    shown.putalpha(Image.linear_gradient("L").resize(image.size))
    return _saved(shown, path, ".png")


def _see_through_palette(image: Image.Image, path: Path) -> Path:
    return _saved(image.convert("P"), path, ".png", transparency=bytes([0, 128, *[255] * 254]))


KINDS: dict[str, Writer] = {
    "jpeg": lambda i, p: _saved(i, p, ".JPEG", quality=90),
    "progressive": lambda i, p: _saved(i, p, ".jpg", progressive=True),
    "grey": lambda i, p: _saved(i.convert("L"), p, ".jpg"),
    "cmyk": lambda i, p: _saved(i.convert("CMYK"), p, ".jpg", quality=95),
    "turned": _turned,
    "alpha": _transparent,
    "palette": lambda i, p: _saved(i.convert("P"), p, ".png"),
    "see-through palette": _see_through_palette,
    "deep": _deep,
    "two levels": lambda i, p: _saved(i.convert("1"), p, ".png"),
    "tiff": lambda i, p: _saved(i, p, ".tif"),
    "webp": lambda i, p: _saved(i, p, ".webp"),
    "tiny": lambda i, p: _saved(i.resize((1, 1)), p, ".png"),
    "long": lambda i, p: _saved(i.resize((900, 20)), p, ".png"),
}


def _written(content: bytes, path: Path) -> Path:
    path = path.with_suffix(".jpg")
    path.write_bytes(content)
    return path


def _cut(image: Image.Image, path: Path) -> Path:
    path = KINDS["jpeg"](image, path)
    os.truncate(path, path.stat().st_size // 3)
    return path


BROKEN: dict[str, Writer] = {
    "empty": lambda _, p: _written(b"", p),
    "text": lambda _, p: _written(b"this is no image\n" * 20, p),
    "cut": _cut,
}


def make_folder(
    root: Path, train: int, val: int, broken: int = 0, largest: int = 700, classes: int = 10
) -> list[Path]:
    """Makes `train/<class>/*` and `val/<class>/*`.

    Args:
        root: The folder.
        train: Training images, those that are broken among them.
        val: Validation images, none of them broken.
        broken: Training images that cannot be read.
        largest: Longest side of most of them, in pixels.
        classes: How many of the figures there are.

    Returns:
        The broken files.
    """
    rng = np.random.default_rng(9)
    found = shapes.generate(10 * train // classes + 10, 10 * val // classes + 10)
    damaged = []
    for part, count, images, labels in (
        ("train", train, found.train_images, found.train_labels),
        ("val", val, found.test_images, found.test_labels),
    ):
        for number, index in enumerate(np.flatnonzero(labels < classes)[:count]):
            folder = root / part / found.classes[labels[index]].replace(" ", "_")
            folder.mkdir(parents=True, exist_ok=True)
            size = tuple(int(side) for side in rng.integers(24, largest + 1, 2))
            image = Image.fromarray(images[index].transpose(1, 2, 0))
            image = image.resize(size, Image.Resampling.BICUBIC)
            spoiled = part == "train" and number < broken
            writers = list((BROKEN if spoiled else KINDS).values())
            path = writers[number % len(writers)](image, folder / f"{number:05d}")
            if spoiled:
                damaged.append(path)
    return damaged

"""How many images a run trains and is evaluated on, without loading any."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, replace
from pathlib import Path

from resnet_study.config import AugmentConfig, DataConfig

# Published sizes: training images, test images, classes, side.
CIFAR = {"cifar10": (50_000, 10_000, 10, 32), "cifar100": (50_000, 10_000, 100, 32)}
CIFAR_FOLDERS = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}


@dataclass(frozen=True)
class Images:
    """What a run sees.

    Attributes:
        train: Training images.
        test: Images of the evaluation, from the test set or the validation part.
        side: Their side in pixels.
        downloaded: Whether they are on this machine already, or need no download.
    """

    train: int
    test: int
    side: int
    downloaded: bool = True


def images_of(data: DataConfig) -> Images:
    """Counts the images of a data set, as it is configured.

    Raises:
        DataError: An image folder is not there, or has another layout.
    """
    return _images_of(replace(data, augment=AugmentConfig(padding=data.augment.padding)))


@functools.cache
def _images_of(data: DataConfig) -> Images:
    train, test, classes, side = _whole(data)
    kept = min(data.classes or classes, classes)
    train, test = train * kept // classes, test * kept // classes
    if data.validation_images:
        train, test = max(1, train - data.validation_images), data.validation_images
    return Images(
        min(data.train_images or train, train),
        test,
        data.resolution or side,
        data.name not in CIFAR or (Path(data.root or "data") / CIFAR_FOLDERS[data.name]).is_dir(),
    )


def _whole(data: DataConfig) -> tuple[int, int, int, int]:
    if data.name in CIFAR:
        return CIFAR[data.name]
    if data.name == "shapes":
        from resnet_study.data import shapes

        return shapes.TRAIN_IMAGES, shapes.TEST_IMAGES, len(shapes.FIGURES), shapes.SIDE
    if data.streamed:
        from resnet_study.data.stream import StreamedFolder

        listed = StreamedFolder(replace(data, classes=None, train_images=None, validation_images=0))
        return len(listed.train), len(listed.test), len(listed.classes), data.stream.crop
    from resnet_study.data.folders import ImageFolder

    folder = ImageFolder(Path(data.root or ""))
    train, test = (sum(len(files) for files in folder.files[part]) for part in ("train", "test"))
    return (
        train,
        test,
        len(folder.classes),
        data.resolution or _side(folder.files["train"][0][0][0]),
    )


def _side(file: Path) -> int:
    """The side of an image; its header says so. 32 where it cannot be read."""
    from PIL import Image

    try:
        with Image.open(os.fspath(file)) as image:
            return min(image.size)
    except (OSError, ValueError):
        return 32

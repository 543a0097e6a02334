"""Data sets: from a `DataConfig` to images in memory or to the listing of a streamed folder.

Needs no torch but for CIFAR and for what is streamed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from resnet_study.config import DataConfig, RunConfig
from resnet_study.data import images as select
from resnet_study.data.cache import cached
from resnet_study.data.images import ImageSet

if TYPE_CHECKING:
    import torch

    from resnet_study.data.loader import RunData
    from resnet_study.data.stream import StreamedFolder


def open_data(config: DataConfig) -> ImageSet | StreamedFolder:
    """Loads a data set, or lists it where it is streamed; arguments and errors as `load_images`."""
    if not config.streamed:
        return load_images(config)
    from resnet_study.data.stream import StreamedFolder

    return StreamedFolder(config)


def prepare_data(
    images: ImageSet | StreamedFolder, config: RunConfig, device: torch.device, threads: int
) -> RunData:
    """What a run reads, on its device or on its way there.

    Args:
        images: As from `open_data`.
        config: The run.
        device: What it trains on.
        threads: As many processes decode what is streamed, unless the config has a number.
    """
    batch_size, seed = config.schedule.batch_size, config.seed
    eval_train_images = config.schedule.eval_train_images
    if isinstance(images, ImageSet):
        from resnet_study.data.loader import to_device

        return to_device(images, device, batch_size, seed, config.data.augment, eval_train_images)
    from resnet_study.data.streaming import stream_to_device

    return stream_to_device(images, device, batch_size, seed, eval_train_images, threads)


def load_images(config: DataConfig) -> ImageSet:
    """Loads a data set as it is configured: classes, resolution, split, subset.

    The first call may download, draw or decode, and caches what it made.

    Args:
        config: Which data, from where, and how much of them.

    Raises:
        DataError: The data are missing, inconsistent or unreadable, or fewer than asked.
        StorageError: The cache cannot be written.
    """
    images = _load_all(config)
    if config.classes is not None:
        images = select.keep_classes(images, config.classes)
    if config.validation_images:
        images = select.split_validation(images, config.validation_images)
    if config.train_images is not None:
        images = select.subset_train(images, config.train_images)
    return images


def _load_all(config: DataConfig) -> ImageSet:
    cache = Path(config.cache)
    resolution = config.resolution
    if config.name == "image_folder":
        from resnet_study.data.folders import ImageFolder

        folder = ImageFolder(Path(config.root or ""))
        reduced = "" if resolution is None else f"-{resolution}"
        path = cache / f"folder-{folder.signature()}{reduced}.npz"
        return cached(path, lambda: folder.decode(resolution))
    if config.name == "shapes":
        from resnet_study.data import shapes

        images = cached(cache / f"shapes-v{shapes.VERSION}.npz", shapes.generate)
    else:
        from resnet_study.data import cifar

        images = cifar.load(config.name, Path(config.root or "data"))
    if resolution is None:
        return images
    return ImageSet(
        select.reduce_area(images.train_images, resolution),
        images.train_labels,
        select.reduce_area(images.test_images, resolution),
        images.test_labels,
        images.classes,
    )


def open_dataset(config, train=True):
    from resnet_study.data.dataset import Dataset
    from resnet_study.data.stream import StreamedFolder

    return Dataset(
        StreamedFolder(config, train) if config.streamed else load_images(config), config
    )


__all__ = ["ImageSet", "load_images", "open_data", "prepare_data"]

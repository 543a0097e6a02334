"""Data sets: opening the one that a `DataConfig` names, and selecting from it.

Importing this package needs neither torch nor numpy, for `config` reads the table of data sets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnet_study.data.sets import SOURCES

if TYPE_CHECKING:
    from resnet_study.config import DataConfig
    from resnet_study.data.dataset import Dataset


def open_dataset(config: DataConfig, train: bool = True) -> Dataset:
    """Opens a data set as it is configured: classes, resolution, validation split, subset.

    Images in memory are loaded; the first call may download, draw or decode them, and caches
    the result. A streamed folder is listed.

    Args:
        config: Which data, from where, and how much of them.
        train: Whether the training images are needed. A streamed folder may then lack them.

    Raises:
        DataError: The data are missing, inconsistent or unreadable, or fewer than asked for.
        StorageError: The cache cannot be written.
    """
    return SOURCES[config.name].open(config, train)


def size_of(config: DataConfig) -> tuple[int, int, int]:
    """Numbers of training and test images, and their side in pixels; no image is decoded.

    Raises:
        DataError: A folder is missing, or has another layout.
    """
    train, test, side = SOURCES[config.name].size(config)
    return config.train_images or train, config.validation_images or test, config.resolution or side

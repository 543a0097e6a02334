"""An entry in the table of data sets: name, size, title, and how to open it.

Imported by `config`, so this module and those in `sets` import nothing heavy at the top.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resnet_study.config import DataConfig
    from resnet_study.data.dataset import Dataset
    from resnet_study.data.images import ImageSet


@dataclass(frozen=True)
class Source:
    """One choice of `data.name`.

    Attributes:
        name: The choice.
        open: Opens the data set, given its settings and whether training images are needed;
            see `in_memory` and `resnet_study.data.open_dataset`.
        size: Numbers of training and test images, and the side in pixels of what a network
            sees; found without decoding any.
        title: What figures call the data; None for the name of the user's folder.
        layout: What the folder `data.root` must hold; None where the user need not name one.
        streamed: Whether images are read from disk while a network trains.
    """

    name: str
    open: Callable[[DataConfig, bool], Dataset]
    size: Callable[[DataConfig], tuple[int, int, int]]
    title: str | None = None
    layout: str | None = None
    streamed: bool = False


def in_memory(load: Callable[[DataConfig], ImageSet]) -> Callable[[DataConfig, bool], Dataset]:
    """Returns the `open` of a data set that is held in memory.

    Args:
        load: Loads all of its images. Resolution, classes, validation split and subset are
            applied to what it returns.
    """
    return lambda config, _: load(config).configured(config)

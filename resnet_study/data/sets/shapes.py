"""The embedded shapes; `resnet_study.data.shapes` draws them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from resnet_study.data.source import Source, in_memory

if TYPE_CHECKING:
    from resnet_study.config import DataConfig
    from resnet_study.data.images import ImageSet


def _load(config: DataConfig) -> ImageSet:
    """Draws the images, or reads them from the cache."""
    from resnet_study.data import shapes
    from resnet_study.data.cache import cached

    return cached(Path(config.cache) / f"shapes-v{shapes.VERSION}.npz", shapes.generate)


def _size(_: DataConfig) -> tuple[int, int, int]:
    from resnet_study.data import shapes

    return shapes.TRAIN_IMAGES, shapes.TEST_IMAGES, shapes.SIDE


SOURCES = (Source("shapes", in_memory(_load), _size, "embedded shapes"),)

"""The user's own images: a folder that is decoded once, or one that is streamed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_study.data.source import Source, in_memory

if TYPE_CHECKING:
    from resnet_study.config import DataConfig
    from resnet_study.data.images import ImageSet
    from resnet_study.data.streamed import StreamedFolder


def _load(config: DataConfig) -> ImageSet:
    """Decodes all images, or reads them from the cache."""
    from resnet_study.data.cache import cached
    from resnet_study.data.folders import decode, list_folder, signature

    listing, resolution = list_folder(Path(config.root or ""), "test"), config.resolution
    reduced = "" if resolution is None else f"-{resolution}"
    # Version 3 decodes transparent, 16-bit and turned images as streamed folders do.
    path = Path(config.cache) / f"folder-v3-{signature(listing)}{reduced}.npz"
    return cached(path, lambda: decode(listing, resolution))


def _size(config: DataConfig) -> tuple[int, int, int]:
    """Counts the files; the first image's side stands for all."""
    from PIL import Image

    from resnet_study.data.folders import list_folder

    _, train, test = list_folder(Path(config.root or ""), "test")
    side = 32
    with suppress(OSError), Image.open(train.path(0)) as image:
        side = min(image.size)
    return len(train), len(test), side


def _stream(config: DataConfig, train: bool = True) -> StreamedFolder:
    from resnet_study.data.streamed import StreamedFolder

    return StreamedFolder(config, train)


def _streamed_size(config: DataConfig) -> tuple[int, int, int]:
    folder = _stream(config)
    return len(folder.train), len(folder.test), config.stream.crop


DECODED, STREAMED = "train/<class>/ and test/<class>/", "train/<class>/ and val/<class>/"
SOURCES = (
    Source("image_folder", in_memory(_load), _size, layout=DECODED),
    Source("streamed_folder", _stream, _streamed_size, layout=STREAMED, streamed=True),
)

"""A data set in memory, loaded whole and then selected from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from resnet_study.data.selection import described, select
from resnet_study.system.errors import DataError

if TYPE_CHECKING:
    import torch

    from resnet_study.config import DataConfig, RunConfig
    from resnet_study.data.dataset import PreparedData


class Pixels(NamedTuple):
    """Images, uint8 `(N, 3, H, W)`, and their labels, int64 `(N,)`."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def at(self, indices: NDArray[np.int64]) -> Pixels:
        """The images at the given indices."""
        return Pixels(self.images[indices], self.labels[indices])


@dataclass(frozen=True)
class ImageSet:
    """Training and test images in memory with their labels; a `Dataset`.

    Attributes:
        train_images: uint8, `(N, 3, H, W)`, 0 to 255.
        train_labels: int64, `(N,)`.
        test_images: uint8, `(M, 3, H, W)`; validation images where a split is asked for.
        test_labels: int64, `(M,)`.
        classes: The classes' names, by label.
        skipped: Always empty: an image that cannot be read is an error.
    """

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    classes: tuple[str, ...]
    skipped: list[str] = field(default_factory=list, init=False)

    @property
    def train(self) -> Pixels:
        """The training images with their labels."""
        return Pixels(self.train_images, self.train_labels)

    @property
    def test(self) -> Pixels:
        """The test images with their labels."""
        return Pixels(self.test_images, self.test_labels)

    def configured(self, config: DataConfig) -> ImageSet:
        """The selected ones of these images, at the configured resolution.

        Raises:
            DataError: The images are smaller, or fewer, than asked for.
        """
        train, test = self.train, self.test
        if (side := config.resolution) is not None:
            train, test = (Pixels(reduce_area(p.images, side), p.labels) for p in (train, test))
        classes, train, test = select(config, self.classes, train, test)
        return ImageSet(*train, *test, classes)

    def fingerprint(self) -> str:
        """Twelve hex digits that change with any pixel, label or order."""
        digest = hashlib.sha256()
        for array in (*self.train, *self.test):
            digest.update(str(array.shape).encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:12]

    def describe(self) -> dict[str, Any]:
        """Numbers of images and classes, and the images' height and width, for a manifest."""
        return described(self, self.train_images.shape[2:])

    def prepare(self, config: RunConfig, device: torch.device, workers: int) -> PreparedData:  # noqa: ARG002 - a Dataset's
        """Puts the images on a device as uint8; nothing is left for workers to decode."""
        from resnet_study.data.batches import on_device

        return on_device(self, config, device)


def reduce_area(images: NDArray[np.uint8], resolution: int) -> NDArray[np.uint8]:
    """Reduces square images to a smaller side by averaging areas.

    Args:
        images: uint8 `(N, 3, H, W)` with H = W.
        resolution: The new side, at most H; it need not divide H.

    Returns:
        uint8 `(N, 3, resolution, resolution)`, rounded to the nearest level.

    Raises:
        DataError: The images are smaller than asked for, or not square.
    """
    height, width = images.shape[2:]
    if height != width or resolution > height:
        allowed = f"the images are {width}x{height}; must be at most the side of square images"
        raise DataError("data.resolution", resolution, allowed)
    if resolution == height:
        return images
    weights = _area_weights(height, resolution)
    reduced = np.empty((len(images), 3, resolution, resolution), dtype=np.uint8)
    # In chunks: the float32 copy of 50,000 photographs would need 600 MB at once.
    for start in range(0, len(images), 4096):
        chunk = images[start : start + 4096].astype(np.float32)
        averaged = weights @ chunk @ weights.T
        reduced[start : start + 4096] = np.rint(averaged).astype(np.uint8)
    return reduced


def _area_weights(size: int, reduced: int) -> NDArray[np.float32]:
    """Row i holds the share of each of `size` pixels in reduced pixel i."""
    edges = np.linspace(0, size, reduced + 1)
    pixels = np.arange(size)
    low = np.maximum(edges[:-1, None], pixels)
    high = np.minimum(edges[1:, None], pixels + 1)
    shares = np.clip(high - low, 0, None) * reduced / size
    return np.asarray(shares, dtype=np.float32)

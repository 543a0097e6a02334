"""A data set in memory, and the operations that select from it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_study.system.errors import DataError

# One fixed stream selects subsets and validation images: every run, whatever its seed,
# sees the same training set, so that seeds differ in optimisation alone.
_SELECTION_SEED = 20151210


@dataclass(frozen=True)
class ImageSet:
    """Training and evaluation images with their labels.

    Attributes:
        train_images: uint8, `(N, 3, H, W)`, 0 to 255.
        train_labels: int64, `(N,)`.
        test_images: uint8, `(M, 3, H, W)`; validation images where a split is asked for.
        test_labels: int64, `(M,)`.
        classes: The classes' names, by label.
    """

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def fingerprint(self) -> str:
        """Twelve hex digits that change with any pixel, label or order."""
        digest = hashlib.sha256()
        for array in (
            self.train_images,
            self.train_labels,
            self.test_images,
            self.test_labels,
        ):
            digest.update(str(array.shape).encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:12]

    def describe(self) -> dict[str, Any]:
        """What a manifest says of the images' number and size."""
        return {
            "train_images": len(self.train_labels),
            "test_images": len(self.test_labels),
            "classes": len(self.classes),
            "height": self.train_images.shape[2],
            "width": self.train_images.shape[3],
        }


def balanced_indices(labels: NDArray[np.int64], count: int, field: str) -> NDArray[np.int64]:
    """Indices of a seeded subset with the same number of every class, to within one.

    The subset of a smaller count is contained in that of a larger one, and its order is
    that of the data set.

    Args:
        labels: Labels `(N,)`.
        count: Size of the subset.
        field: Config key named in the error.

    Raises:
        DataError: There are fewer images than asked for.
    """
    rng = np.random.default_rng(_SELECTION_SEED)
    rank_in_class = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rank_in_class[rng.permutation(members)] = np.arange(len(members))
    # Round-robin over classes: all images of rank 0, then all of rank 1, and so on.
    order = np.lexsort((labels, rank_in_class))
    if count > len(order):
        raise DataError(field, count, f"allowed is at most the {len(order)} images there are")
    return np.sort(order[:count])


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
        allowed = f"the images are {width}x{height}; allowed is at most the side of square images"
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


def keep_classes(images: ImageSet, count: int) -> ImageSet:
    """Keeps the first `count` classes of both parts.

    Raises:
        DataError: There are fewer classes than asked for.
    """
    if count > len(images.classes):
        raise DataError(
            "data.classes", count, f"allowed is at most the {len(images.classes)} there are"
        )
    train, test = images.train_labels < count, images.test_labels < count
    return ImageSet(
        images.train_images[train],
        images.train_labels[train],
        images.test_images[test],
        images.test_labels[test],
        images.classes[:count],
    )


def split_validation(images: ImageSet, count: int) -> ImageSet:
    """Moves `count` class-balanced training images into the place of the test set."""
    held_out = balanced_indices(images.train_labels, count, "data.validation_images")
    if count == len(images.train_labels):
        raise DataError("data.validation_images", count, "allowed is less than all images")
    kept = np.setdiff1d(np.arange(len(images.train_labels)), held_out)
    return replace(
        images,
        train_images=images.train_images[kept],
        train_labels=images.train_labels[kept],
        test_images=images.train_images[held_out],
        test_labels=images.train_labels[held_out],
    )


def subset_train(images: ImageSet, count: int) -> ImageSet:
    """Keeps `count` class-balanced training images."""
    kept = balanced_indices(images.train_labels, count, "data.train_images")
    return replace(
        images,
        train_images=images.train_images[kept],
        train_labels=images.train_labels[kept],
    )

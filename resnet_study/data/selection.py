"""Which images a run sees: its classes, its validation split and its subset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from resnet_study.system.errors import DataError

if TYPE_CHECKING:
    from resnet_study.config import DataConfig

# One fixed seed selects subsets and validation images: every run, whatever its own seed,
# sees the same training set, so that seeds differ in optimisation alone.
_SELECTION_SEED = 20151210

Labels = NDArray[np.int64]


class Part(Protocol):
    """Training or test images, decoded or not, with labels `(N,)`."""

    @property
    def labels(self) -> Labels: ...

    def at(self, indices: Labels) -> Self:
        """The images at the given indices."""


P = TypeVar("P", bound=Part)


def select(
    config: DataConfig, classes: tuple[str, ...], train: P, test: P
) -> tuple[tuple[str, ...], P, P]:
    """Keeps the first classes, holds validation images out, and takes a training subset.

    Args:
        config: How many of each; the split and the subset are class-balanced.
        classes: Names of all classes, by label.
        train: All training images.
        test: All test images; validation images are returned in their place.

    Raises:
        DataError: There are fewer classes or images than asked for.
    """
    if (count := config.classes) is not None:
        if count > len(classes):
            raise DataError("data.classes", count, f"must be at most the {len(classes)} there are")
        classes = classes[:count]
        train, test = (part.at(np.flatnonzero(part.labels < count)) for part in (train, test))
    if count := config.validation_images:
        held_out = balanced_indices(train.labels, count, "data.validation_images")
        if count == len(train.labels):
            raise DataError("data.validation_images", count, "must be less than all images")
        kept = np.delete(np.arange(len(train.labels)), held_out)
        test, train = train.at(held_out), train.at(kept)
    return classes, subset(train, config.train_images, "data.train_images"), test


def subset(part: P, count: int | None, field: str) -> P:
    """A class-balanced subset of images, or all where `count` is None; see `balanced_indices`."""
    return part if count is None else part.at(balanced_indices(part.labels, count, field))


def evaluated(train: P, count: int | None) -> P:
    """Training images of an evaluation: all, or a class-balanced subset of `count` images."""
    few = None if count is None or count >= len(train.labels) else count
    return subset(train, few, "schedule.eval_train_images")


def balanced_indices(labels: Labels, count: int, field: str) -> Labels:
    """Indices of a subset with the same number of every class, to within one.

    Every run gets the same subset. A smaller subset is contained in a larger one, and the order is
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
        raise DataError(field, count, f"must be at most the {len(order)} images there are")
    return np.sort(order[:count])


def described(dataset: Any, side: Sequence[int]) -> dict[str, Any]:
    """A manifest's entries about a data set.

    Args:
        dataset: With `train` and `test`, each a `Part`, and `classes`.
        side: Height and width of what a network sees, in pixels.
    """
    return {
        "train_images": len(dataset.train.labels),
        "test_images": len(dataset.test.labels),
        "classes": len(dataset.classes),
        "height": side[0],
        "width": side[1],
    }

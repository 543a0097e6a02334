"""What the engine sees of a data set: the same, whether it is in memory or streamed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from resnet_study.config import RunConfig
    from resnet_study.data.batches import Batch, Shard, TrainingBatches, Views


class Dataset(Protocol):
    """Training and test images that are not on a device yet."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes' names, by label."""

    @property
    def train_labels(self) -> NDArray[np.int64]:
        """Labels of the training images, `(N,)`."""

    @property
    def skipped(self) -> list[str]:
        """Images that could not be read and are left out: paths in the data set's folder, sorted.

        The list grows during a run, and callers may add to it. Always empty for images in
        memory, where such an image is an error.
        """

    def fingerprint(self) -> str:
        """Twelve hex digits that change with any image, label or order."""

    def describe(self) -> dict[str, Any]:
        """Numbers of images and classes, and the images' height and width, for a manifest."""

    def prepare(self, config: RunConfig, device: torch.device, workers: int) -> PreparedData:
        """Puts the images on a device, or gets ready to read them from disk.

        Args:
            config: The run.
            device: The device that trains.
            workers: Processes that decode a streamed folder, where `data.stream.workers` is null.

        Raises:
            StudyError: Images cannot be read, or the cache cannot be written.
        """


class Images(Protocol):
    """Images that a network is evaluated on, without augmentation."""

    def __len__(self) -> int: ...

    def chunks(self, size: int, shard: Shard[int] = iter) -> Generator[Batch]:
        """All images in order, `(n, 3, H, W)` and `(n,)`, in a single view.

        Args:
            size: Images of a chunk.
            shard: Takes this process's chunks from all.
        """

    def spread(self, count: int) -> Batch:
        """`count` images at evenly spaced indices, so that sorted classes all take part."""


@dataclass(frozen=True)
class PreparedData:
    """What one run reads: its batches, and the images that it is evaluated on.

    Attributes:
        batches: Augmented training batches.
        clean_train: Training images without augmentation, all or a balanced subset.
        test: Test images, or validation images where a split is asked for.
        train: Training images that the probes of responses see.
        classes: Number of classes.
        side: Height and width, in pixels, of what a network sees.
        chunk: Number of images in a batch of an evaluation.
        ahead: Largest number of iterations that may wait for a GPU; None for no limit. Batches
            that are read while a network trains take memory until they are used.
        views: Evaluations of the trained network by name. Each yields batches of one or more
            views, of the chunks that a shard takes. Empty for images in memory.
    """

    batches: TrainingBatches
    clean_train: Images
    test: Images
    train: Images
    classes: int
    side: tuple[int, int]
    chunk: int = 1000
    ahead: int | None = None
    views: Mapping[str, Callable[[Shard[int]], Generator[Views]]] = field(default_factory=dict)

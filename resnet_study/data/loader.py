"""Seeded mini-batches from uint8 tensors that live on the device."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from resnet_study.config import AugmentConfig
from resnet_study.data.augment import colour_components, crop_and_flip, shift_colour
from resnet_study.data.images import ImageSet, balanced_indices

Batch = tuple[torch.Tensor, torch.Tensor]
Tensors = tuple[torch.Tensor, ...]
# A batch to evaluate on: one or more views of each image, and labels.
Views = tuple[Sequence[torch.Tensor], torch.Tensor]
T = TypeVar("T")
# Which of several items are this process's.
Turns = Callable[[Iterable[T]], Iterable[T]]


class EpochDraws(NamedTuple):
    """All random numbers of one epoch, one entry per position in its order."""

    order: NDArray[np.int64]
    top: NDArray[np.int64]
    left: NDArray[np.int64]
    flip: NDArray[np.bool_]
    colour: NDArray[np.float32]


def draw_epoch(seed: int, epoch: int, images: int, augment: AugmentConfig) -> EpochDraws:
    """Draws order, crops, flips and colours of an epoch from (seed, epoch), on the CPU.

    Any device therefore sees the same stream, and a resumed run needs no replay. Colours
    are drawn last, so that order, crops and flips are the same with and without them.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(images)
    top, left = rng.integers(0, 2 * augment.padding + 1, (2, images))
    mirrored = rng.random(images) < 0.5
    shifted = images if augment.colour else 0
    colour = augment.colour * rng.standard_normal((shifted, 3), dtype=np.float32)
    return EpochDraws(order, top, left, mirrored & augment.flip, colour)


class DeviceImages:
    """Images and labels on a device, ready to be gathered into batches.

    Args:
        images: uint8 `(N, 3, H, W)`.
        labels: int64 `(N,)`.
        mean: Per-pixel mean that is subtracted, float `(H, W, 3)`, in units of 255 levels.
        device: Where they are kept.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        mean: torch.Tensor,
        device: torch.device,
    ) -> None:
        channels_inner = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
        self.images = torch.from_numpy(channels_inner).to(device)
        self.labels = torch.from_numpy(labels).to(device)
        self.mean = mean.to(device)

    def __len__(self) -> int:
        return len(self.labels)

    def centered(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 `(N, H, W, 3)` to float in units of 255 levels, mean subtracted.

        There is no division by a standard deviation (He et al. 2015, §4.2).
        """
        return images.float().div_(255).sub_(self.mean)

    def chunks(self, size: int, turns: Turns[int] = iter) -> Generator[Batch]:
        """All images in order, `(n, 3, H, W)` and `(n,)`, single view, unaugmented.

        Args:
            size: Images of a chunk.
            turns: Chooses among the chunks.
        """
        for start in turns(range(0, len(self), size)):
            images = self.centered(self.images[start : start + size])
            yield images.permute(0, 3, 1, 2), self.labels[start : start + size]

    def spread(self, count: int) -> Batch:
        """So many images evenly apart in the order, so that sorted classes all take part."""
        chosen = torch.linspace(0, len(self) - 1, min(count, len(self))).long()
        chosen = chosen.to(self.images.device)
        return self.centered(self.images[chosen]).permute(0, 3, 1, 2), self.labels[chosen]


class DrawnBatches:
    """What is drawn for each mini-batch of an endless, seeded stream.

    Epochs follow one another without a gap: every batch is full, and a batch at the end
    of an epoch is filled from the next one, so each epoch shows every image once.

    Args:
        images: In an epoch.
        batch_size: Images per batch.
        draw: All draws of an epoch, one entry per position in its order.
    """

    def __init__(self, images: int, batch_size: int, draw: Callable[[int], Tensors]) -> None:
        self.images = images
        self.batch_size = batch_size
        self.draw = draw
        self._draws: dict[int, Tensors] = {}

    def _epoch(self, epoch: int) -> Tensors:
        if epoch not in self._draws:
            # A batch may span two epochs; older draws are never needed again.
            self._draws = {e: d for e, d in self._draws.items() if e == epoch - 1}
            self._draws[epoch] = self.draw(epoch)
        return self._draws[epoch]

    def draws(self, iteration: int) -> Tensors:
        """What is drawn for the batch of an iteration, counted from 0."""
        position, end = iteration * self.batch_size, (iteration + 1) * self.batch_size
        pieces = []
        while position < end:
            epoch, first = divmod(position, self.images)
            last = min(first + end - position, self.images)
            pieces.append([drawn[first:last] for drawn in self._epoch(epoch)])
            position += last - first
        if len(pieces) == 1:
            return tuple(pieces[0])
        return tuple(torch.cat(parts) for parts in zip(*pieces, strict=True))


def whole(draws: Tensors) -> Tensors:
    """All of a mini-batch's draws, for a process that trains alone."""
    return draws


class TrainingBatches(DrawnBatches):
    """The endless, seeded stream of augmented mini-batches of one run, made on the device.

    Args:
        source: The training images.
        batch_size: Images per batch.
        seed: The run's seed.
        augment: What is drawn for each image.
        components: As from `colour_components`, where colours are shifted.
    """

    def __init__(
        self,
        source: DeviceImages,
        batch_size: int,
        seed: int,
        augment: AugmentConfig,
        components: torch.Tensor | None = None,
    ) -> None:
        self.source = source
        self.augment = augment
        device = source.images.device
        self.components = None if components is None else components.to(device)

        def draw(epoch: int) -> Tensors:
            draws = draw_epoch(seed, epoch, len(source), augment)
            return tuple(torch.from_numpy(drawn).to(device) for drawn in draws)

        super().__init__(len(source), batch_size, draw)

    def assemble(
        self,
        order: torch.Tensor,
        top: torch.Tensor,
        left: torch.Tensor,
        flip: torch.Tensor,
        colour: torch.Tensor,
    ) -> Batch:
        """Gathers and augments a batch from its draws, all on the device.

        Returns:
            Images, float `(batch_size, 3, H, W)` in channels-last format, and labels,
            int64 `(batch_size,)`.
        """
        images = self.source.centered(self.source.images[order])
        if self.components is not None:
            images = shift_colour(images, colour, self.components)
        images = crop_and_flip(images, top, left, flip, self.augment.padding)
        return images, self.source.labels[order]

    def starting_at(
        self, iteration: int, share: Callable[[Tensors], Tensors] = whole
    ) -> Generator[Tensors]:
        """The draws of each batch from an iteration on, without end.

        Args:
            iteration: Counted from 0.
            share: This process's part of a batch.
        """
        while True:
            yield share(self.draws(iteration))
            iteration += 1


class Images(Protocol):
    """Images that a network is evaluated on."""

    def __len__(self) -> int: ...

    def chunks(self, size: int, turns: Turns[int] = iter) -> Generator[Batch]:
        """As in `DeviceImages`."""

    def spread(self, count: int) -> Batch:
        """As in `DeviceImages`."""


class Batches(Protocol):
    """The training batches of a run."""

    def starting_at(
        self, iteration: int, share: Callable[[Tensors], Tensors] = whole
    ) -> Generator[Tensors]:
        """As in `TrainingBatches`."""

    @property
    def assemble(self) -> Callable[..., Batch]:
        """Makes a batch, as it is trained on, of what `starting_at` gives, on the device."""


@dataclass(frozen=True)
class RunData:
    """What one run reads: its batches, and the images it is evaluated on.

    Attributes:
        batches: Augmented training batches.
        clean_train: Training images without augmentation, all or a balanced subset.
        test: Test images, or validation images where a split is asked for.
        train: The training images that probes of responses see.
        classes: Number of classes.
        side: Height and width, in pixels, of what a network sees.
        chunk: Images of an evaluation's batch.
        views: The trained network's evaluations, by name: batches of views, of those chunks
            that are a process's turn.
    """

    batches: Batches
    clean_train: Images
    test: Images
    train: Images
    classes: int
    side: tuple[int, int]
    chunk: int = 1000
    views: Mapping[str, Callable[[Turns[int]], Generator[Views]]] = field(default_factory=dict)


def to_device(
    images: ImageSet,
    device: torch.device,
    batch_size: int,
    seed: int,
    augment: AugmentConfig,
    eval_train_images: int | None,
) -> RunData:
    """Puts a data set on a device as uint8, with the mean of its training part.

    Args:
        images: The data set.
        device: Where the tensors live.
        batch_size: Images per training batch.
        seed: The run's seed.
        augment: Training augmentation.
        eval_train_images: Training images in an evaluation; None for all.
    """
    mean = torch.from_numpy(images.train_images.mean(axis=0, dtype=np.float64) / 255)
    mean = mean.float().permute(1, 2, 0)
    train = DeviceImages(images.train_images, images.train_labels, mean, device)
    clean = train
    if eval_train_images is not None and eval_train_images < len(train):
        chosen = balanced_indices(images.train_labels, eval_train_images, "schedule")
        clean = DeviceImages(images.train_images[chosen], images.train_labels[chosen], mean, device)
    return RunData(
        batches=TrainingBatches(
            train,
            batch_size,
            seed,
            augment,
            colour_components(images.train_images) if augment.colour else None,
        ),
        clean_train=clean,
        test=DeviceImages(images.test_images, images.test_labels, mean, device),
        train=train,
        classes=len(images.classes),
        side=(images.train_images.shape[2], images.train_images.shape[3]),
    )

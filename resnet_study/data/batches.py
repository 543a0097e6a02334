"""Seeded mini-batches, in general and of images held on the device as uint8 tensors."""

import functools
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from resnet_study.config import AugmentConfig, RunConfig
from resnet_study.data.augment import colour_components, crop_and_flip, shift_colour
from resnet_study.data.dataset import PreparedData
from resnet_study.data.images import ImageSet, Pixels
from resnet_study.data.selection import evaluated

T = TypeVar("T")
Tensors = tuple[torch.Tensor, ...]
# Images and labels.
Batch = tuple[torch.Tensor, torch.Tensor]
# A batch to evaluate on: one or more views of each image, and labels.
Views = tuple[Sequence[torch.Tensor], torch.Tensor]
# Selects this process's items from those that all processes share.
Shard = Callable[[Iterable[T]], Iterable[T]]


def draw_epoch(seed: int, epoch: int, images: int, augment: AugmentConfig) -> Tensors:
    """Draws order, crops, flips and colours of an epoch from (seed, epoch), on the CPU.

    Any device therefore sees the same numbers, and a resumed run needs no replay. Colours
    are drawn last, so that order, crops and flips are the same with and without them.

    Returns:
        Order, first rows and columns of crops (0 to 2·padding), and mirrored, each `(images,)`;
        and colour shifts in standard deviations, `(images, 3)`, or `(0, 3)` for none.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(images)
    top, left = rng.integers(0, 2 * augment.padding + 1, (2, images))
    mirrored = (rng.random(images) < 0.5) & augment.flip
    shifted = images if augment.colour else 0
    colour = augment.colour * rng.standard_normal((shifted, 3), dtype=np.float32)
    return tuple(map(torch.from_numpy, (order, top, left, mirrored, colour)))


class TrainingBatches(ABC):
    """The endless, seeded mini-batches of one run.

    Epochs follow one another without a gap: every batch is full, and a batch at the end
    of an epoch is filled from the next one, so each epoch shows every image once.

    Args:
        images: Images of an epoch.
        batch_size: Images of a batch.
        draw: Draws an epoch's numbers, one entry per position in its order.
    """

    def __init__(self, images: int, batch_size: int, draw: Callable[[int], Tensors]) -> None:
        self.images = images
        self.batch_size = batch_size
        # A batch may span two epochs; older draws are never needed again.
        self._epoch = functools.lru_cache(maxsize=2)(draw)

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

    def starting_at(
        self, iteration: int, share: Callable[[Tensors], Tensors] = tuple
    ) -> Generator[Tensors]:
        """Yields what `assemble` takes for each batch, from an iteration on, without end.

        Args:
            iteration: Counted from 0.
            share: Takes this process's part from what is drawn for a batch; by default all.

        Raises:
            DataError: An image cannot be read.
        """
        for number in itertools.count(iteration):
            yield share(self.draws(number))

    @abstractmethod
    def assemble(self, *tensors: torch.Tensor) -> Batch:
        """Makes a batch on the device, augmentation included.

        Args:
            tensors: What `starting_at` yields.

        Returns:
            Images, float `(batch_size, 3, H, W)` in channels-last format, and labels,
            int64 `(batch_size,)`.
        """


@dataclass(frozen=True)
class DeviceImages:
    """Images on a device, ready to be gathered into batches.

    Attributes:
        images: uint8 `(N, H, W, 3)`.
        labels: int64 `(N,)`.
        mean: Per-pixel mean that is subtracted, float `(H, W, 3)`, in units of 255 levels.
    """

    images: torch.Tensor
    labels: torch.Tensor
    mean: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def centered(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 `(N, H, W, 3)` to float in units of 255 levels, mean subtracted.

        There is no division by a standard deviation (He et al. 2015, §4.2).
        """
        return images.float().div_(255).sub_(self.mean)

    def chunks(self, size: int, shard: Shard[int] = iter) -> Generator[Batch]:
        """All images in order; see `dataset.Images`."""
        for start in shard(range(0, len(self), size)):
            images = self.centered(self.images[start : start + size])
            yield images.permute(0, 3, 1, 2), self.labels[start : start + size]

    def spread(self, count: int) -> Batch:
        """`count` images at evenly spaced indices."""
        indices = evenly_spaced(len(self), count).to(self.images.device)
        return self.centered(self.images[indices]).permute(0, 3, 1, 2), self.labels[indices]


def evenly_spaced(length: int, count: int) -> torch.Tensor:
    """At most `count` indices below `length`, from the first to the last."""
    return torch.linspace(0, length - 1, min(count, length)).long()


class DeviceBatches(TrainingBatches):
    """Mini-batches that are gathered and augmented on the device.

    Args:
        source: The training images.
        config: The run.
        components: As from `colour_components`, where colours are shifted.
    """

    def __init__(
        self, source: DeviceImages, config: RunConfig, components: torch.Tensor | None
    ) -> None:
        self.source = source
        self.augment = config.data.augment
        device = source.images.device
        self.components = None if components is None else components.to(device)

        def draw(epoch: int) -> Tensors:
            draws = draw_epoch(config.seed, epoch, len(source), self.augment)
            return tuple(drawn.to(device) for drawn in draws)

        super().__init__(len(source), config.schedule.batch_size, draw)

    def assemble(self, *tensors: torch.Tensor) -> Batch:
        """Gathers and augments a batch from what is drawn for it; see `TrainingBatches`."""
        order, top, left, flip, colour = tensors
        images = self.source.centered(self.source.images[order])
        if self.components is not None:
            images = shift_colour(images, colour, self.components)
        images = crop_and_flip(images, top, left, flip, self.augment.padding)
        return images, self.source.labels[order]


def on_device(images: ImageSet, config: RunConfig, device: torch.device) -> PreparedData:
    """Puts a data set on a device as uint8, with the mean of its training images.

    Args:
        images: The data set.
        config: The run.
        device: Where the tensors live.
    """
    mean = torch.from_numpy(images.train_images.mean(axis=0, dtype=np.float64) / 255)
    mean = mean.float().permute(1, 2, 0).to(device)

    def moved(part: Pixels) -> DeviceImages:
        inner = np.ascontiguousarray(part.images.transpose(0, 2, 3, 1))
        images, labels = (torch.from_numpy(array).to(device) for array in (inner, part.labels))
        return DeviceImages(images, labels, mean)

    train = images.train
    seen, clean = moved(train), evaluated(train, config.schedule.eval_train_images)
    colour = config.data.augment.colour
    return PreparedData(
        DeviceBatches(seen, config, colour_components(train.images) if colour else None),
        clean_train=seen if clean is train else moved(clean),
        test=moved(images.test),
        train=seen,
        classes=len(images.classes),
        side=(train.images.shape[2], train.images.shape[3]),
    )

"""Batches of a streamed folder, from draws to what a network sees (He et al. 2015, §3.4)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from resnet_study.config import AugmentConfig, StreamConfig
from resnet_study.data import reader
from resnet_study.data.augment import shift_colour
from resnet_study.data.images import balanced_indices
from resnet_study.data.loader import Batch, DrawnBatches, RunData, Tensors, Turns, Views, whole
from resnet_study.data.normalization import CHUNK, Normalization, normalization_of
from resnet_study.data.stream import Files, StreamedFolder


def draw_epoch(
    seed: int, epoch: int, images: int, stream: StreamConfig, augment: AugmentConfig
) -> Tensors:
    """Draws order, scales, crops, flips and colours of an epoch from (seed, epoch).

    Returns:
        Order, shorter sides, left and top (0 up to 1, of the places there are), mirrored,
        each `(images,)`, and colour shifts `(images, 3)`, in deviations.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(images)
    short = rng.integers(stream.scale[0], stream.scale[1] + 1, images)
    left, top = rng.random((2, images))
    mirrored = (rng.random(images) < 0.5) & augment.flip
    colour = augment.colour * rng.standard_normal((images, 3), dtype=np.float32)
    return tuple(map(torch.from_numpy, (order, short, left, top, mirrored, colour)))


class StreamedBatches(DrawnBatches):
    """The endless, seeded stream of mini-batches of one run, decoded by worker processes.

    Args:
        folder: The data set.
        batch_size: Images per batch.
        seed: The run's seed.
        normalization: On the device.
        components: As from `colour_components`, where colours are shifted.
        workers: Processes that decode.
        device: What is trained on.
    """

    def __init__(
        self,
        folder: StreamedFolder,
        batch_size: int,
        seed: int,
        normalization: Normalization,
        components: torch.Tensor | None,
        workers: int,
        device: torch.device,
    ) -> None:
        self.folder = folder
        self.normalization = normalization
        self.components = None if components is None else components.to(device)
        self.workers = workers
        self.device = device
        stream, augment = folder.config.stream, folder.config.augment
        images = len(folder.train)

        def draw(epoch: int) -> Tensors:
            return draw_epoch(seed, epoch, images, stream, augment)

        super().__init__(images, batch_size, draw)

    def starting_at(
        self, iteration: int, share: Callable[[Tensors], Tensors] = whole
    ) -> Generator[Tensors]:
        """The views of each batch from an iteration on, without end, on the device.

        Args:
            iteration: Counted from 0.
            share: This process's part of a batch: nobody decodes the others'.

        Raises:
            DataError: An image cannot be read, and is not to be skipped.
        """

        def drawn() -> Iterator[list[Any]]:
            at = iteration
            while True:
                yield reader.draws_of(share(self.draws(at)))
                at += 1

        dataset = reader.TrainingViews(self.folder.train, self.folder.config.stream)
        batches = reader.read(dataset, drawn(), reader.collate_training, self.workers, self.device)
        for views, labels, colour, failures in batches:
            self.folder.note(failures)
            if views is None:
                raise self.folder.nothing_readable()
            yield tuple(t.to(self.device, non_blocking=True) for t in (views, labels, colour))

    def assemble(self, *tensors: torch.Tensor) -> Batch:
        """Centres and shifts a batch's views, all on the device.

        Args:
            tensors: Views, uint8 `(N, crop, crop, 3)`; labels, int64 `(N,)`; colour shifts,
                float `(N, 3)`.

        Returns:
            Images, float `(N, 3, crop, crop)` in channels-last format, and labels.
        """
        views, labels, colour = tensors
        images = self.normalization.centered(views)
        if self.components is not None:
            images = shift_colour(images, colour, self.components)
        return self.normalization.divided(images).permute(0, 3, 1, 2), labels


class StreamedImages:
    """Images of a streamed folder as they are tested.

    Args:
        folder: The data set, which is told of what cannot be read.
        files: Those of its images that are tested.
        normalization: On the device.
        workers: Processes that decode.
        device: Where the batches go.
    """

    def __init__(
        self,
        folder: StreamedFolder,
        files: Files,
        normalization: Normalization,
        workers: int,
        device: torch.device,
    ) -> None:
        self.folder = folder
        self.files = files
        self.normalization = normalization
        self.workers = workers
        self.device = device

    def __len__(self) -> int:
        return len(self.files)

    def chunks(self, size: int, turns: Turns[int] = iter) -> Generator[Batch]:
        """All images in order, `(n, 3, crop, crop)` and `(n,)`, the centre alone.

        Args:
            size: Images of a chunk.
            turns: Chooses among the chunks.
        """
        for views, labels in self.views("single", size, turns):
            yield views[0], labels

    def views(self, kind: str, size: int, turns: Turns[int] = iter) -> Generator[Views]:
        """All images in order, in several views, each `(n, 3, H, W)`, and labels `(n,)`.

        Args:
            kind: As in `pictures.test_views`; views of several scales come image by image.
            size: Images of a chunk, counted in views.
            turns: Chooses among the chunks.
        """
        each = {"single": size, "ten_crop": max(1, size // 10), "multi_scale": 1}[kind]
        starts = turns(range(0, len(self), each))
        batches = (list(range(start, min(start + each, len(self)))) for start in starts)
        yield from self._read(batches, kind)

    def _read(self, batches: Iterator[list[int]], kind: str) -> Iterator[Views]:
        dataset = reader.TestViews(self.files, self.folder.config.stream, kind)
        read = reader.read(dataset, batches, reader.collate_test, self.workers, self.device)
        met, readable = 0, 0
        for views, labels, failures in read:
            self.folder.note(failures)
            met, readable = met + len(failures) + len(labels), readable + len(labels)
            if len(labels):
                moved = (view.to(self.device, non_blocking=True) for view in views)
                shown = [self.normalization(view).permute(0, 3, 1, 2) for view in moved]
                yield shown, labels.to(self.device, non_blocking=True)
        if met and not readable:
            raise self.folder.nothing_readable()

    def spread(self, count: int) -> Batch:
        """So many images evenly apart in the order, so that sorted classes all take part."""
        chosen = torch.linspace(0, len(self) - 1, min(count, len(self))).long().tolist()
        batches = [chosen[start : start + CHUNK] for start in range(0, len(chosen), CHUNK)]
        read = list(self._read(iter(batches), "single"))
        return torch.cat([views[0] for views, _ in read]), torch.cat([y for _, y in read])


def stream_to_device(
    folder: StreamedFolder,
    device: torch.device,
    batch_size: int,
    seed: int,
    eval_train_images: int | None,
    workers: int,
) -> RunData:
    """What a run reads of a streamed folder.

    Args:
        folder: The data set.
        device: What is trained on.
        batch_size: Images per training batch.
        seed: The run's seed.
        eval_train_images: Training images in an evaluation; None for all.
        workers: Processes that decode, where the config leaves it open.
    """
    stream = folder.config.stream
    workers = workers if stream.workers is None else stream.workers
    reader.check_shared_memory(stream, batch_size + CHUNK, workers)
    normalization, components = normalization_of(folder, workers)
    normalization = normalization.to(device)
    clean = folder.train
    if eval_train_images is not None and eval_train_images < len(clean):
        chosen = balanced_indices(clean.labels, eval_train_images, "schedule")
        clean = clean.chosen(chosen)

    def tested(files: Files) -> StreamedImages:
        return StreamedImages(folder, files, normalization, workers, device)

    test = tested(folder.test)
    views: Sequence[str] = stream.views
    return RunData(
        batches=StreamedBatches(
            folder, batch_size, seed, normalization, components, workers, device
        ),
        clean_train=tested(clean),
        test=test,
        train=tested(clean),
        classes=len(folder.classes),
        side=(stream.crop, stream.crop),
        chunk=CHUNK,
        views={kind: functools.partial(test.views, kind, CHUNK) for kind in views},
    )

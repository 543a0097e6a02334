"""A folder too large for memory, listed first and read while a network trains (§3.4)."""

import hashlib
import itertools
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from resnet_study.config import AugmentConfig, DataConfig, RunConfig, StreamConfig
from resnet_study.data import decoding
from resnet_study.data.batches import Batch, Shard, Tensors, TrainingBatches, Views, evenly_spaced
from resnet_study.data.dataset import PreparedData
from resnet_study.data.folders import Files, list_folder
from resnet_study.data.normalization import CHUNK, Normalization, measure
from resnet_study.data.selection import described, evaluated, select
from resnet_study.data.workers import Failure, Workers
from resnet_study.system.errors import ImageError, warn

# Iterations that may wait for a GPU.
AHEAD = 2


class StreamedFolder:
    """The listing of a folder with `train/<class>/` and `val/<class>/`; a `Dataset`.

    Args:
        config: Which folder, and how much of it.
        train: Whether the training images are needed.

    Attributes:
        config: As given.
        root: The folder.
        classes: The classes' names, by label.
        train: Training images.
        test: Validation images, or training images that are held out.
        skipped: Images that could not be read so far, relative to the folder, sorted.

    Raises:
        DataError: A folder is missing or empty, or the parts have different classes.
    """

    def __init__(self, config: DataConfig, train: bool = True) -> None:
        self.config = config
        self.root = Path(config.root or "")
        listed = list_folder(self.root, "val", train)
        self.classes, self.train, self.test = select(config, *listed)
        self.skipped: list[str] = []

    @property
    def train_labels(self) -> NDArray[np.int64]:
        """Labels of the training images, `(N,)`."""
        return self.train.labels

    def fingerprint(self) -> str:
        """Twelve hex digits that change with any file's name, class or size."""
        return _digest(self.train, self.test)[:12]

    def signature(self) -> str:
        """Sixteen hex digits that change with any training file's name, class or size."""
        return _digest(self.train)[:16]

    def describe(self) -> dict[str, Any]:
        """Numbers of images and classes, and the height and width of a crop, for a manifest."""
        return described(self, [self.config.stream.crop] * 2)

    def skip(self, failures: Sequence[Failure]) -> None:
        """Notes images that cannot be read, and warns about each once.

        Args:
            failures: Path and reason of each.

        Raises:
            ImageError: `data.stream.unreadable` is "stop".
        """
        for path, why in failures:
            name = os.path.relpath(path, self.root)
            if name in self.skipped:
                continue
            if self.config.stream.unreadable == "stop":
                allowed = f"cannot be read ({why}); repair it, or set data.stream.unreadable=skip"
                raise ImageError("image", path, allowed)
            self.skipped.append(name)
            self.skipped.sort()
            warn(f"{path} cannot be read ({why}) and is left out")

    def prepare(self, config: RunConfig, device: torch.device, workers: int) -> PreparedData:
        """Measures the mean of the training images, or reads it from the cache.

        Args:
            config: The run.
            device: The device that trains.
            workers: Processes that decode, where `data.stream.workers` is null.

        Raises:
            ConfigError: The batches do not fit into shared memory.
            DataError: An image cannot be read, and is not to be skipped.
            StorageError: The cache cannot be written.
        """
        stream = self.config.stream
        count = workers if stream.workers is None else stream.workers
        decoders = Workers(self, count, device)
        # Statistics are recomputed from a second stream of mini-batches.
        second = 2 * config.schedule.batch_size if config.schedule.recomputes else 0
        decoders.check_shared_memory(CHUNK + second)
        normalization = measure(decoders)
        few = evaluated(self.train, config.schedule.eval_train_images)
        clean = StreamedImages(decoders, few, normalization)
        test = StreamedImages(decoders, self.test, normalization)
        return PreparedData(
            StreamedBatches(decoders, normalization, config),
            clean_train=clean,
            test=test,
            train=clean,
            classes=len(self.classes),
            side=(stream.crop, stream.crop),
            chunk=CHUNK,
            ahead=AHEAD,
            views={kind: partial(test.views, kind, CHUNK) for kind in stream.views},
        )


def draw_epoch(
    seed: int, epoch: int, images: int, stream: StreamConfig, augment: AugmentConfig
) -> Tensors:
    """Draws order, scales, crops, flips and colours of an epoch from (seed, epoch).

    Returns:
        Order, shorter sides, left and top as shares of the possible places (0 to below 1),
        mirrored, each `(images,)`, and colour shifts `(images, 3)`, in standard deviations.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(images)
    short = rng.integers(stream.scale[0], stream.scale[1] + 1, images)
    left, top = rng.random((2, images))
    mirrored = (rng.random(images) < 0.5) & augment.flip
    colour = augment.colour * rng.standard_normal((images, 3), dtype=np.float32)
    return tuple(map(torch.from_numpy, (order, short, left, top, mirrored, colour)))


class StreamedBatches(TrainingBatches):
    """Mini-batches whose images worker processes decode and crop.

    Args:
        workers: Decode the training images of their folder.
        normalization: On the device.
        config: The run.
    """

    def __init__(self, workers: Workers, normalization: Normalization, config: RunConfig) -> None:
        self.workers = workers
        self.normalization = normalization
        images, data = len(workers.folder.train), workers.folder.config

        def draw(epoch: int) -> Tensors:
            return draw_epoch(config.seed, epoch, images, data.stream, data.augment)

        super().__init__(images, config.schedule.batch_size, draw)

    def starting_at(
        self, iteration: int, share: Callable[[Tensors], Tensors] = tuple
    ) -> Generator[Tensors]:
        """Views, labels and colour shifts of each batch; see `TrainingBatches`.

        Only this process's part of a batch is decoded.
        """
        folder = self.workers.folder
        # Evaluation batches are read while training batches are kept ready.
        self.workers.check_shared_memory(self.batch_size + CHUNK)
        drawn, again = itertools.tee(super().starting_at(iteration, share))
        items = (list(zip(*(t.tolist() for t in draws[:-1]), strict=True)) for draws in drawn)
        cut = partial(decoding.training_view, folder.config.stream)
        read = self.workers.read(folder.train, cut, items, stand_in=True)
        with closing(read):
            for ((views,), labels), (*_, colour) in zip(read, again, strict=False):
                yield views, labels, colour.to(self.workers.device, non_blocking=True)

    def assemble(self, *tensors: torch.Tensor) -> Batch:
        """Normalises a batch's views and shifts their colours; see `TrainingBatches`."""
        views, labels, colour = tensors
        return self.normalization(views, colour), labels


@dataclass(frozen=True)
class StreamedImages:
    """Images of a streamed folder to evaluate on.

    Attributes:
        workers: Decode the images.
        files: The images.
        normalization: On the device.
    """

    workers: Workers
    files: Files
    normalization: Normalization

    def __len__(self) -> int:
        return len(self.files)

    def chunks(self, size: int, shard: Shard[int] = iter) -> Generator[Batch]:
        """The centres of all images in order; see `dataset.Images`."""
        for (images,), labels in self.views("single", size, shard):
            yield images, labels

    def views(self, kind: str, size: int, shard: Shard[int] = iter) -> Generator[Views]:
        """All images in order, in several views, each `(n, 3, H, W)`, and labels `(n,)`.

        Args:
            kind: As in `decoding.test_views`; views of several scales come image by image.
            size: Images of a chunk, counted in views.
            shard: Takes this process's chunks from all.
        """
        each = {"single": size, "ten_crop": max(1, size // 10), "multi_scale": 1}[kind]
        starts = shard(range(0, len(self), each))
        yield from self._read(kind, (range(len(self))[start : start + each] for start in starts))

    def _read(self, kind: str, chunks: Iterable[Iterable[int]]) -> Iterator[Views]:
        cut = partial(decoding.test_views, self.workers.folder.config.stream, kind)
        items = ([(index,) for index in chunk] for chunk in chunks)
        for views, labels in self.workers.read(self.files, cut, items):
            yield [self.normalization(view) for view in views], labels

    def spread(self, count: int) -> Batch:
        """`count` images at evenly spaced indices."""
        indices = evenly_spaced(len(self), count).tolist()
        chunks = (indices[start : start + CHUNK] for start in range(0, len(indices), CHUNK))
        read = list(self._read("single", chunks))
        return torch.cat([views[0] for views, _ in read]), torch.cat([y for _, y in read])


def _digest(*parts: Files) -> str:
    digest = hashlib.sha256()
    for part in parts:
        for array in (part.paths, part.labels, part.sizes):
            digest.update(f"{array.shape}{array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()

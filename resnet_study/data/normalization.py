"""What is subtracted from a view's levels: means of the training images, measured once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from resnet_study.data import reader
from resnet_study.data.augment import ColourMoments
from resnet_study.data.cache import Arrays, cached_arrays
from resnet_study.data.images import balanced_indices
from resnet_study.data.stream import StreamedFolder

# Images of a batch of evaluation, counted in single views.
CHUNK = 128
# Of ImageNet's channels, in units of 255 levels, as torchvision's weights were trained with.
TORCHVISION_MEAN = (0.485, 0.456, 0.406)
TORCHVISION_DEVIATION = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Normalization:
    """What becomes of a view's levels, on the device.

    Attributes:
        mean: Subtracted, float `(H, W, 3)` or `(3,)`, in units of 255 levels.
        deviation: Divides the rest, float `(3,)`; None for no division.
    """

    mean: torch.Tensor
    deviation: torch.Tensor | None = None

    def to(self, device: torch.device) -> Normalization:
        """The same on a device."""
        divided = None if self.deviation is None else self.deviation.to(device)
        return Normalization(self.mean.to(device), divided)

    def __call__(self, views: torch.Tensor) -> torch.Tensor:
        """uint8 `(N, H, W, 3)` to float of the same shape."""
        return self.divided(self.centered(views))

    def centered(self, views: torch.Tensor) -> torch.Tensor:
        """uint8 to float in units of 255 levels, mean subtracted.

        A per-pixel mean has one size; of views of another its channels' means are subtracted.
        """
        mean = self.mean
        if mean.ndim == 3 and mean.shape != views.shape[1:]:
            mean = mean.mean(dim=(0, 1))
        levels = views.float().div_(255)
        if mean.ndim == 3:
            return levels.sub_(mean)
        _rows(levels).sub_(mean.repeat(views.shape[2]))
        return levels

    def divided(self, views: torch.Tensor) -> torch.Tensor:
        """Divides by the deviations, where there are any."""
        if self.deviation is not None:
            _rows(views).div_(self.deviation.repeat(views.shape[2]))
        return views


def _rows(views: torch.Tensor) -> torch.Tensor:
    """`(N, H, W, 3)` as `(N, H, W·3)`: to broadcast over three numbers takes thrice as long."""
    return views.view(*views.shape[:2], -1)


def normalization_of(
    folder: StreamedFolder, workers: int
) -> tuple[Normalization, torch.Tensor | None]:
    """Mean and principal components of the training images, where a run needs them.

    They are measured once, on `statistics_images` of the single test views, and cached.

    Args:
        folder: The data set.
        workers: Processes that decode.

    Returns:
        The normalisation, and the components as from `colour_components`; None where colours
        are not shifted.

    Raises:
        DataError: An image cannot be read, and is not to be skipped.
        StorageError: The cache cannot be written.
    """
    config = folder.config
    given = config.stream.normalization == "torchvision"
    published = Normalization(*map(torch.tensor, (TORCHVISION_MEAN, TORCHVISION_DEVIATION)))
    if given and not config.augment.colour:
        return published, None
    stream = config.stream
    count = min(stream.statistics_images, len(folder.train))
    how = f"{stream.crop}-{stream.test_scale}-{int(stream.upright)}-{count}"
    path = Path(config.cache) / f"statistics-{folder.signature()}-{how}.npz"
    found = cached_arrays(path, ("mean", "components"), lambda: _measured(folder, count, workers))
    components = torch.from_numpy(found["components"]) if config.augment.colour else None
    if given:
        return published, components
    mean = found["mean"]
    if stream.normalization == "per_channel_mean":
        mean = mean.mean(axis=(0, 1))
    return Normalization(torch.from_numpy(mean).float()), components


def _measured(folder: StreamedFolder, count: int, workers: int) -> Arrays:
    side = folder.config.stream.crop
    chosen = folder.train.chosen(
        balanced_indices(folder.train.labels, count, "data.stream.statistics_images")
    )
    total, images, moments = np.zeros((side, side, 3)), 0, ColourMoments()
    dataset = reader.TestViews(chosen, folder.config.stream, "single")
    batches = [list(range(at, min(at + CHUNK, count))) for at in range(0, count, CHUNK)]
    cpu = torch.device("cpu")
    for views, labels, failures in reader.read(dataset, batches, reader.collate_test, workers, cpu):
        folder.note(failures)
        if len(labels):
            levels = views[0].numpy()
            total += levels.sum(axis=0, dtype=np.float64)
            moments.add(levels.transpose(0, 3, 1, 2))
            images += len(labels)
    if not images:
        raise folder.nothing_readable()
    return {"mean": total / images / 255, "components": moments.components().numpy()}

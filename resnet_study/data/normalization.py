"""Normalisation of decoded views with statistics of the training images, measured once."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from resnet_study.data import decoding
from resnet_study.data.augment import ColourMoments, shift_colour
from resnet_study.data.cache import Arrays, cached_arrays
from resnet_study.data.selection import subset
from resnet_study.data.workers import Workers

# Number of images in a batch of an evaluation, counted in single views.
CHUNK = 128
# ImageNet's channels, in units of 255 levels, with which torchvision's weights were trained.
TORCHVISION_MEAN = (0.485, 0.456, 0.406)
TORCHVISION_DEVIATION = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Normalization:
    """Maps decoded images to the input of a network.

    Attributes:
        mean: Subtracted, float `(H, W, 3)` or `(3,)`, in units of 255 levels.
        deviation: Divides the rest, float `(3,)`; None for no division.
        components: As from `colour_components`; None where colours are not shifted.
    """

    mean: torch.Tensor
    deviation: torch.Tensor | None = None
    components: torch.Tensor | None = None

    def __call__(self, views: torch.Tensor, colour: torch.Tensor | None = None) -> torch.Tensor:
        """Subtracts the mean, shifts colours, and divides by the deviation.

        Args:
            views: uint8 `(N, H, W, 3)`. If a per-pixel mean has another size, the means of its
                channels are subtracted instead.
            colour: Colour shifts drawn for training images, `(N, 3)`, in standard deviations.

        Returns:
            Float `(N, 3, H, W)` in channels-last format, in units of 255 levels, or of the
            deviation.
        """
        shape, mean = views.shape[1:], self.mean
        if mean.ndim == 3 and mean.shape != shape:
            mean = mean.mean(dim=(0, 1))
        # Repeated for all pixels: broadcasting over three numbers takes three times as long.
        levels = views.float().div_(255).sub_(mean.expand(shape).contiguous())
        if colour is not None and self.components is not None:
            levels = shift_colour(levels, colour, self.components)
        if self.deviation is not None:
            levels.div_(self.deviation.expand(shape).contiguous())
        return levels.permute(0, 3, 1, 2)


def measure(workers: Workers) -> Normalization:
    """Finds the normalisation of a folder, on the workers' device.

    Mean and principal components are measured once, on `statistics_images` training images in
    single test views, and cached.

    Args:
        workers: Decode the images of the folder.

    Raises:
        DataError: An image cannot be read, and is not to be skipped.
        StorageError: The cache cannot be written.
    """
    folder, config, stream = workers.folder, workers.folder.config, workers.folder.config.stream
    device, colour = workers.device, config.augment.colour > 0
    published = stream.normalization == "torchvision"
    found: Arrays = {}
    if colour or not published:
        count = min(stream.statistics_images, len(folder.train))
        how = f"{stream.crop}-{stream.test_scale}-{int(stream.upright)}-{count}"
        path = Path(config.cache) / f"statistics-{folder.signature()}-{how}.npz"
        found = cached_arrays(path, lambda: _measured(workers, count))
    components = torch.from_numpy(found["components"]).to(device) if colour else None
    if published:
        numbers = TORCHVISION_MEAN, TORCHVISION_DEVIATION
        mean_of_three, deviation = (torch.tensor(three, device=device) for three in numbers)
        return Normalization(mean_of_three, deviation, components)
    mean = found["mean"]
    if stream.normalization == "per_channel_mean":
        mean = mean.mean(axis=(0, 1))
    return Normalization(torch.from_numpy(mean).float().to(device), None, components)


def _measured(workers: Workers, count: int) -> Arrays:
    folder, stream = workers.folder, workers.folder.config.stream
    files = subset(folder.train, count, "data.stream.statistics_images")
    total, images, moments = np.zeros((stream.crop, stream.crop, 3)), 0, ColourMoments()
    items = ([(i,) for i in range(count)[at : at + CHUNK]] for at in range(0, count, CHUNK))
    cut = partial(decoding.test_views, stream, "single")
    on_cpu = replace(workers, device=torch.device("cpu"))
    for (views,), labels in on_cpu.read(files, cut, items):
        levels = views.numpy()
        total += levels.sum(axis=0, dtype=np.float64)
        moments.add(levels.transpose(0, 3, 1, 2))
        images += len(labels)
    return {"mean": total / images / 255, "components": moments.components().numpy()}

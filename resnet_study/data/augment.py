"""Batched training augmentation on the device (He et al. 2015, §4.2)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F


def crop_and_flip(
    images: torch.Tensor, top: torch.Tensor, left: torch.Tensor, flip: torch.Tensor, padding: int
) -> torch.Tensor:
    """Pads images with zeros, crops each at its own place, and mirrors some.

    The mean has been subtracted, so zeros stand for the mean image. The channel axis lies
    innermost in memory, so the result is in channels-last format.

    Args:
        images: Float `(N, H, W, C)`, mean subtracted.
        top: First row of each crop in the padded image, `(N,)`, 0 to 2·padding.
        left: First column, likewise.
        flip: Whether to mirror each image left to right, bool `(N,)`.
        padding: Zero pixels added on each side.

    Returns:
        Float `(N, C, H, W)`, in channels-last memory format.
    """
    n, height, width, channels = images.shape
    if padding:
        images = F.pad(images, (0, 0, padding, padding, padding, padding))
    steps = torch.arange(width, device=images.device)
    rows = top[:, None] + torch.arange(height, device=images.device)
    columns = left[:, None] + torch.where(flip[:, None], width - 1 - steps, steps)
    # Selecting from one list of all pixels is more than twice as fast as indexing by image,
    # row and column.
    first = torch.arange(n, device=images.device)[:, None] * (height + 2 * padding)
    places = (first + rows)[:, :, None] * (width + 2 * padding) + columns[:, None, :]
    crops = images.reshape(-1, channels).index_select(0, places.flatten())
    return crops.view(n, height, width, channels).permute(0, 3, 1, 2)


class ColourMoments:
    """Sums over pixels, from which the principal components of RGB values follow."""

    def __init__(self) -> None:
        self.total, self.products, self.pixels = np.zeros(3), np.zeros((3, 3)), 0

    def add(self, images: NDArray[np.uint8]) -> None:
        """Adds the pixels of images, uint8 `(N, 3, H, W)`."""
        part = images.transpose(1, 0, 2, 3).reshape(3, -1)
        values = part.astype(np.float64) / 255
        self.total += values.sum(axis=1)
        self.products += values @ values.T
        self.pixels += values.shape[1]

    def components(self) -> torch.Tensor:
        """Principal components of all images that were added; see `colour_components`."""
        mean = self.total / self.pixels
        covariance = self.products / self.pixels - np.outer(mean, mean)
        variances, vectors = np.linalg.eigh(covariance)
        components = (vectors * np.sqrt(np.clip(variances, 0, None))).T[::-1]
        # The sign of an eigenvector depends on the solver, and machines must agree.
        largest = components[np.arange(3), np.abs(components).argmax(axis=1)]
        components = components * np.where(largest < 0, -1, 1)[:, None]
        return torch.from_numpy(components.copy()).float()


def colour_components(images: NDArray[np.uint8]) -> torch.Tensor:
    """Principal components of a training set's RGB values, each scaled by its deviation.

    Args:
        images: uint8 `(N, 3, H, W)`.

    Returns:
        Float `(3, 3)` in units of 255 levels: row i is the i-th eigenvector of the RGB
        covariance over all pixels, times the square root of its eigenvalue, the largest
        first, each with a positive largest entry.
    """
    moments = ColourMoments()
    # In chunks: a float copy of 50,000 photographs would need gigabytes.
    for start in range(0, len(images), 2048):
        moments.add(images[start : start + 2048])
    return moments.components()


def shift_colour(
    images: torch.Tensor, draws: torch.Tensor, components: torch.Tensor
) -> torch.Tensor:
    """Moves every image as a whole along the principal components of RGB.

    Deviation: Krizhevsky et al. 2012 (§4.1) scale a component by its eigenvalue, whose
    effect depends on the unit of a pixel; we use its square root, the standard deviation.

    Args:
        images: Float `(N, H, W, 3)`, mean subtracted.
        draws: Float `(N, 3)`, one normal draw per image and component.
        components: As from `colour_components`.
    """
    n, height, width, channels = images.shape
    # By rows: broadcasting over three numbers takes three times as long.
    shifts = (draws @ components).repeat(1, width)[:, None, :]
    return (images.view(n, height, width * channels) + shifts).view(images.shape)

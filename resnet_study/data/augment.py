"""Batched training augmentation on the device (He et al. 2015, §4.2)."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def crop_and_flip(
    images: torch.Tensor, top: torch.Tensor, left: torch.Tensor, flip: torch.Tensor, padding: int
) -> torch.Tensor:
    """Pads with zeros, crops every image at its own place, and mirrors some.

    Zeros are padded after the mean is subtracted, so they stand for the mean image. The
    channel axis lies innermost in memory, so the result is in channels-last format.

    Args:
        images: Float `(N, H, W, C)`, mean subtracted.
        top: First row of each crop in the padded image, `(N,)`, 0 to 2·padding.
        left: First column, likewise.
        flip: Whether to mirror each image left to right, bool `(N,)`.
        padding: Zero pixels added on each side.

    Returns:
        Float `(N, C, H, W)`, in channels-last memory format.
    """
    n, height, width, _ = images.shape
    if padding:
        images = F.pad(images, (0, 0, padding, padding, padding, padding))
    steps = torch.arange(width, device=images.device)
    rows = top[:, None] + torch.arange(height, device=images.device)
    columns = left[:, None] + torch.where(flip[:, None], width - 1 - steps, steps)
    image = torch.arange(n, device=images.device)
    crops = images[image[:, None, None], rows[:, :, None], columns[:, None, :]]
    return crops.permute(0, 3, 1, 2)

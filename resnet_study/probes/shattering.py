"""Shattered gradients: how alike are the gradients at neighbouring inputs?

Not in He et al. 2015. Balduzzi et al. 2017, "The shattered gradients problem: if ResNets are
the answer, then what is the question?": in plain networks the correlation between gradients
at neighbouring inputs decays with depth as in white noise; in residual ones far more slowly.
"""

from __future__ import annotations

import torch
from torch import nn

from resnet_study.probes.layers import copy_of

STEPS = 64
LAGS = 16
PATHS = 8


def input_gradient_autocorrelation(network: nn.Module, images: torch.Tensor) -> list[float]:
    """Autocorrelation of the input gradient along straight lines between images.

    Batch norm's statistics are set from `images` first, and held, so that the function is
    one of a single input. Along the line from one image to another, at `STEPS` points evenly
    apart, the gradient of one logit is taken, the largest at the line's start, and its mean
    along the line off.
    The autocorrelation at a lag is the mean inner product of gradients that many points
    apart, over that at lag 0; it is averaged over `PATHS` lines. White noise has -1/63 at
    any lag but 0, for the mean that was taken off.

    Args:
        network: Left as it was.
        images: Float `(N, 3, H, W)`, N at least 2.

    Returns:
        The autocorrelation at lags 0 to `LAGS`; 1 at lag 0.
    """
    copied = copy_of(network).train()
    with torch.no_grad():
        for module in copied.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
                module.momentum = None
        copied(images)
    copied.eval()
    places = torch.linspace(0, 1, STEPS, device=images.device)[:, None, None, None]
    curves = []
    for start, end in zip(images[: 2 * PATHS : 2], images[1 : 2 * PATHS : 2], strict=False):
        line = (start + places * (end - start)).requires_grad_()
        with torch.enable_grad():
            logits = copied(line)
            # Not their sum: cross-entropy never trains the readout of all classes alike.
            (gradient,) = torch.autograd.grad(logits[:, logits[0].argmax()].sum(), line)
        centred = (gradient - gradient.mean(dim=0)).flatten(1).double()
        products = centred @ centred.T
        diagonals = [products.diagonal(lag).mean() for lag in range(LAGS + 1)]
        curves.append(torch.stack(diagonals) / diagonals[0])
    values: list[float] = torch.stack(curves).mean(dim=0).tolist()
    return values

"""Shattered gradients: how similar the gradients at neighbouring inputs are.

Not in He et al. 2015. Balduzzi et al. 2017, "The shattered gradients problem: if ResNets are
the answer, then what is the question?": in plain networks the correlation between gradients
at neighbouring inputs decays with depth as in white noise; in residual ones far more slowly.
"""

import torch
from torch import nn

from resnet_study.probes.layers import copy_of

STEPS = 64
LAGS = 16
PATHS = 8


def input_gradient_autocorrelation(network: nn.Module, images: torch.Tensor) -> list[float]:
    """Autocorrelation of the input gradient along straight lines between images.

    Batch norm's statistics are first set from `images` and then held, so that the output
    depends on a single input. At `STEPS` evenly spaced points on the line from one image to
    another, the gradient of one logit is taken, the one that is largest at the start of the line,
    and the mean along the line is subtracted. The autocorrelation at a lag of k points is the
    mean inner product of gradients k points apart, divided by that at lag 0, averaged over `PATHS`
    lines. Because the mean is subtracted, white noise has -1/63 at every lag but 0.

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
            # One logit, not the sum of all: cross-entropy never moves all logits alike.
            (gradient,) = torch.autograd.grad(logits[:, logits[0].argmax()].sum(), line)
        centred = (gradient - gradient.mean(dim=0)).flatten(1).double()
        products = centred @ centred.T
        diagonals = [products.diagonal(lag).mean() for lag in range(LAGS + 1)]
        curves.append(torch.stack(diagonals) / diagonals[0])
    values: list[float] = torch.stack(curves).mean(dim=0).tolist()
    return values

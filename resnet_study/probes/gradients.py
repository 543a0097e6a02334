"""Gradient flow: whether the signal vanishes on its way, forwards or backwards.

He et al. 2015, §4.1, argue that with batch norm it does not, even in plain networks.
"""

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional as F

from resnet_study.probes.layers import copy_of, weighted_layers


def gradient_norms(
    network: nn.Module, images: torch.Tensor, labels: torch.Tensor
) -> Iterator[tuple[str, str, int, float]]:
    """Norms of the gradients at each layer, for one batch, in training mode.

    Args:
        network: Left as it was.
        images: Float `(N, 3, H, W)`, unaugmented.
        labels: int64 `(N,)`.

    Yields:
        For each layer, measure, name, position counted from 1, and value:
        "weight_gradient_norm", the L2 norm of the mean cross-entropy's gradient with respect
        to the kernel; "activation_gradient_norm", the same with respect to the layer's
        output, after batch norm and before the non-linearity, over the whole batch;
        "forward_variance", the variance of that output, mean over channels.
    """
    copied = copy_of(network).train()
    layers = weighted_layers(copied)
    outputs: dict[str, torch.Tensor] = {}

    def keep(name: str) -> object:
        def hook(_: nn.Module, __: object, output: torch.Tensor) -> torch.Tensor:
            output.retain_grad()
            outputs[name] = output
            # What follows works in place, and must not change the tensor that is measured.
            return output.clone()

        return hook

    for name, layer in layers:
        layer.register_forward_hook(keep(name))  # type: ignore[arg-type]
    with torch.enable_grad():
        F.cross_entropy(copied(images), labels).backward()  # type: ignore[no-untyped-call]
    for position, (name, layer) in enumerate(layers, start=1):
        output, kernel = outputs[name], layer.get_parameter("conv.weight")
        assert kernel.grad is not None
        assert output.grad is not None
        yield "weight_gradient_norm", name, position, float(kernel.grad.norm())
        yield "activation_gradient_norm", name, position, float(output.grad.norm())
        variances = output.detach().var(dim=(0, 2, 3), correction=0)
        yield "forward_variance", name, position, float(variances.mean())

"""Layer responses: how strongly each layer acts (He et al. 2015, §4.2, Figure 7)."""

from collections.abc import Iterable, Iterator

import torch
from torch import nn

from resnet_study.probes.layers import copy_of, weighted_layers


@torch.no_grad()
def response_deviations(
    network: nn.Module, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]
) -> Iterator[tuple[str, float]]:
    """Standard deviation of each layer's responses over images, channels and positions.

    A response is a layer's output after batch norm and before the non-linearity and the
    addition, in evaluation mode.

    Args:
        network: Left as it was.
        batches: Images `(N, 3, H, W)` and labels, each image once.

    Yields:
        Name and deviation of each layer, in order.
    """
    copied = copy_of(network).eval()
    sums: dict[str, torch.Tensor] = {}
    counts: dict[str, int] = {}

    def add(name: str) -> object:
        def hook(_: nn.Module, __: object, output: torch.Tensor) -> None:
            values = output.double()
            moments = torch.stack([values.sum(), values.square().sum()])
            sums[name] = sums.get(name, 0) + moments
            counts[name] = counts.get(name, 0) + values.numel()

        return hook

    layers = weighted_layers(copied)
    for name, layer in layers:
        layer.register_forward_hook(add(name))  # type: ignore[arg-type]
    for images, _ in batches:
        copied(images)
    for name, _ in layers:
        mean, square = (sums[name] / counts[name]).tolist()
        yield name, max(square - mean**2, 0.0) ** 0.5

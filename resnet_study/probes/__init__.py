"""Probes: measurements of a copy of a network while it trains, which leave the run as it is."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from resnet_study.config import ProbesConfig
from resnet_study.probes.gradients import gradient_norms
from resnet_study.probes.responses import response_deviations
from resnet_study.probes.shattering import input_gradient_autocorrelation

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Measurement:
    """One number that a probe measured.

    Attributes:
        measure: What was measured, such as "weight_gradient_norm".
        position: The layer, counted from 1 at the stem, or the lag of an autocorrelation.
        name: The layer's name in the network, empty for a lag.
        value: The number, in the unit of its measure.
    """

    measure: str
    position: int
    name: str
    value: float


# What each probe measures, by its setting.
MEASURES = {
    "gradients": ("weight_gradient_norm", "activation_gradient_norm", "forward_variance"),
    "responses": ("response_deviation",),
    "shattering": ("input_gradient_autocorrelation",),
}


def measures(config: ProbesConfig) -> set[str]:
    """Names of what the configured probes measure."""
    return {name for probe, names in MEASURES.items() if getattr(config, probe) for name in names}


def probe(
    config: ProbesConfig, network: nn.Module, sample: Batch, batches: Iterable[Batch]
) -> Iterator[Measurement]:
    """Applies the configured probes to a network.

    Args:
        config: Which probes.
        network: Left as it was, statistics of batch norm included.
        sample: Unaugmented training images `(N, 3, H, W)` and their labels.
        batches: All training images, which only the probe of responses reads.
    """
    if config.gradients:
        for measure, name, position, value in gradient_norms(network, *sample):
            yield Measurement(measure, position, name, value)
    if config.responses:
        for position, (name, value) in enumerate(response_deviations(network, batches), start=1):
            yield Measurement("response_deviation", position, name, value)
    if config.shattering:
        for lag, value in enumerate(input_gradient_autocorrelation(network, sample[0])):
            yield Measurement("input_gradient_autocorrelation", lag, "", value)

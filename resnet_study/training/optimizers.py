"""The table of optimisers.

A config reads this table, so the top of this file imports neither torch nor the rest of the
study. A builder imports torch when it is called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from resnet_study.config import ScheduleConfig

    Parameters = list[torch.nn.Parameter]
    Rate = float | torch.Tensor


@dataclass(frozen=True)
class Optimizer:
    """What the study needs to know of an optimiser.

    Attributes:
        build: Makes it from parameters on one device, a learning rate (a number, or a tensor on
            that device) and the settings of the schedule.
        tensors: How many tensors of a parameter's size it keeps for each parameter. The size
            of checkpoints depends on it.
        momentum: Whether `schedule.momentum` has an effect.
    """

    build: Callable[[Parameters, Rate, ScheduleConfig], torch.optim.Optimizer]
    tensors: int
    momentum: bool = False


def sgd(parameters: Parameters, rate: Rate, schedule: ScheduleConfig) -> torch.optim.Optimizer:
    """SGD with momentum, not Nesterov's, and weight decay on all parameters (He et al. 2015)."""
    from torch.optim import SGD

    return SGD(parameters, rate, schedule.momentum, weight_decay=schedule.weight_decay, fused=True)


def adamw(parameters: Parameters, rate: Rate, schedule: ScheduleConfig) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay on all parameters (Loshchilov & Hutter 2019)."""
    from torch.optim import AdamW

    # Without `capturable` there is no CUDA graph.
    on_gpu = parameters[0].device.type == "cuda"
    return AdamW(
        parameters, rate, weight_decay=schedule.weight_decay, fused=True, capturable=on_gpu
    )


OPTIMIZERS = {"sgd": Optimizer(sgd, tensors=1, momentum=True), "adamw": Optimizer(adamw, tensors=2)}

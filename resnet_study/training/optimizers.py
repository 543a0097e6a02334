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

    # Parameters on one device; the learning rate, a number or a tensor beside them; settings.
    Build = Callable[
        [list[torch.nn.Parameter], float | torch.Tensor, ScheduleConfig], torch.optim.Optimizer
    ]


@dataclass(frozen=True)
class Optimizer:
    """What the study asks of an optimiser.

    Attributes:
        build: Makes it.
        tensors: How many tensors of a parameter's size it keeps for each parameter. The size
            of checkpoints depends on it.
        momentum: Whether `schedule.momentum` has an effect.
    """

    build: Build
    tensors: int
    momentum: bool = False


def sgd(
    parameters: list[torch.nn.Parameter], rate: float | torch.Tensor, schedule: ScheduleConfig
) -> torch.optim.Optimizer:
    """SGD with momentum, not Nesterov's, and weight decay on all parameters (§4.2)."""
    from torch.optim import SGD

    return SGD(parameters, rate, schedule.momentum, weight_decay=schedule.weight_decay, fused=True)


def adamw(
    parameters: list[torch.nn.Parameter], rate: float | torch.Tensor, schedule: ScheduleConfig
) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay on all parameters (Loshchilov & Hutter 2019)."""
    from torch.optim import AdamW

    on_gpu = parameters[0].device.type == "cuda"
    return AdamW(
        parameters, rate, weight_decay=schedule.weight_decay, fused=True, capturable=on_gpu
    )


OPTIMIZERS = {"sgd": Optimizer(sgd, tensors=1, momentum=True), "adamw": Optimizer(adamw, tensors=2)}

"""What the loop carries from one iteration to the next, beside weights and momentum."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from resnet_study.config import ScheduleConfig


@dataclass
class TrainingState:
    """What is saved with weights and momentum, and restored.

    Attributes:
        iteration: Iterations completed.
        warming: Whether the warm-up has not ended yet.
        loss_sum: Sum of the losses of the mini-batches since the last row.
        wrong: Misclassified images since the last row.
        images: Images since the last row.
        seconds: Time spent in the loop, evaluations included.
        row_seconds: Time spent training since the last row, evaluations excluded.
        waited: Time of `seconds` in which the loop waited for the next batch.
        row_waited: The same since the last row.
        drops: How often the rate has fallen at a plateau.
        lowest: Lowest test error that counts, in percent.
        stale: Evaluations since then, or since the rate fell.
    """

    iteration: int
    warming: bool
    loss_sum: torch.Tensor
    wrong: torch.Tensor
    images: int = 0
    seconds: float = 0.0
    row_seconds: float = 0.0
    waited: float = 0.0
    row_waited: float = 0.0
    drops: int = 0
    lowest: float = math.inf
    stale: int = 0

    @classmethod
    def initial(cls, schedule: ScheduleConfig, depth: int, device: torch.device) -> TrainingState:
        """The state before the first iteration."""
        return cls(
            iteration=0,
            warming=schedule.warmup.applies_to(depth),
            loss_sum=torch.zeros((), dtype=torch.float64, device=device),
            wrong=torch.zeros((), dtype=torch.int64, device=device),
        )

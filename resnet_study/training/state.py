"""What the loop carries from one iteration to the next besides weights and optimiser."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from resnet_study.config import ScheduleConfig


@dataclass
class TrainingState:
    """Saved and restored together with the weights and the optimiser's tensors.

    Attributes:
        iteration: Iterations completed.
        warming: Whether the warm-up has not ended yet.
        loss_sum: Sum of the losses of the mini-batches since the last row.
        wrong: Misclassified images since the last row.
        images: Images since the last row.
        seconds: Seconds spent in the loop, evaluations included.
        row_seconds: Seconds spent training since the last row, evaluations excluded.
        waited: Part of `seconds` in which the loop waited for the next batch.
        row_waited: Part of `row_seconds`, likewise.
        drops: How often the rate has fallen at a plateau.
        lowest: Lowest test error since the run began, in percent, as the plateau counts it.
        stale: Evaluations since that error, or since the rate fell.
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

    def add_seconds(self, seconds: float) -> None:
        """Adds the time that an iteration took."""
        self.seconds += seconds
        self.row_seconds += seconds

    def begin_row(self) -> None:
        """Resets the sums that start again with each row."""
        self.loss_sum.zero_()
        self.wrong.zero_()
        self.images = 0
        self.row_seconds = self.row_waited = 0.0

    @classmethod
    def initial(cls, schedule: ScheduleConfig, depth: int, device: torch.device) -> TrainingState:
        """The state before the first iteration."""
        return cls(
            iteration=0,
            warming=schedule.warmup.applies_to(depth),
            loss_sum=torch.zeros((), dtype=torch.float64, device=device),
            wrong=torch.zeros((), dtype=torch.int64, device=device),
        )

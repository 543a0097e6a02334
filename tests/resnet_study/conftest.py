"""Small runs of ImageNet's family on a streamed folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_study.config import (
    AugmentConfig,
    CheckpointConfig,
    DataConfig,
    ModelConfig,
    PlateauConfig,
    RunConfig,
    ScheduleConfig,
    StreamConfig,
)

SMALL = StreamConfig(
    crop=32, scale=(34, 48), test_scale=36, workers=1, views=("single", "ten_crop")
)

NETWORK = {"architecture": "imagenet", "depth": 18, "width": 4, "shortcut": "B"}


@pytest.fixture
def streamed(varied: Path, cache: Path, tmp_path: Path):
    """Makes the description of a run of 12 iterations: an epoch ends within the fourth."""

    def make(model: dict | None = None, stream: StreamConfig = SMALL, **changes) -> RunConfig:
        defaults: dict = {
            "model": ModelConfig(**(NETWORK | (model or {}))),
            "data": DataConfig(
                name="streamed_folder", root=str(varied), cache=str(cache), stream=stream,
                augment=AugmentConfig(padding=0, colour=0.1),
            ),
            "schedule": ScheduleConfig(
                iterations=12, batch_size=16, milestones=(), eval_every=3, log_every=1,
                learning_rate=0.02, eval_train_images=24,
                plateau=PlateauConfig(patience=1, improvement=5.0),
            ),
            "threads": 1,
            "checkpoint": CheckpointConfig(every=1000),
            "runs_dir": str(tmp_path / "runs"),
        }  # fmt: skip
        return RunConfig(**(defaults | changes))

    return make

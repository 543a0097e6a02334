"""Small runs of ImageNet's family on a streamed folder."""

from pathlib import Path

import pytest

from resnet_study.config import (
    AugmentConfig,
    CheckpointConfig,
    DataConfig,
    ModelConfig,
    PlateauConfig,
    RunConfig,
    StreamConfig,
)

SMALL = StreamConfig(
    crop=32, scale=(34, 48), test_scale=36, workers=0, views=("single", "ten_crop")
)


@pytest.fixture
def streamed(tiny, varied: Path, cache: Path):
    """Makes the description of a run of 12 iterations: an epoch ends within the fourth."""

    def make(stream=SMALL, schedule=None, root=varied, model=None, **changes) -> RunConfig:
        network = {"architecture": "imagenet", "depth": 18, "width": 4, "shortcut": "B"}
        plan = {
            "milestones": (), "eval_every": 3, "log_every": 1, "learning_rate": 0.02,
            "eval_train_images": 24, "plateau": PlateauConfig(patience=1, improvement=5.0),
        }  # fmt: skip
        data = DataConfig(
            name="streamed_folder", root=str(root), label="varied", cache=str(cache), stream=stream,
            augment=AugmentConfig(padding=0, colour=0.1),
        )  # fmt: skip
        defaults: dict = {
            "model": ModelConfig(**(network | (model or {}))),
            "data": data,
            "checkpoint": CheckpointConfig(every=1000),
        }
        return tiny(plan | (schedule or {}), **(defaults | changes))

    return make

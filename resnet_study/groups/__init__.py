"""The groups of settings that a run's description is made of, each with its rules."""

from resnet_study.groups.data import AugmentConfig, DataConfig, StreamConfig
from resnet_study.groups.looks import ProbesConfig, StartConfig
from resnet_study.groups.model import BOTTLENECK_DEPTHS, IMAGENET_BLOCKS, WIDTHS, ModelConfig
from resnet_study.groups.schedule import (
    CheckpointConfig,
    PlateauConfig,
    ScheduleConfig,
    WarmupConfig,
)

__all__ = [
    "BOTTLENECK_DEPTHS",
    "IMAGENET_BLOCKS",
    "WIDTHS",
    "AugmentConfig",
    "CheckpointConfig",
    "DataConfig",
    "ModelConfig",
    "PlateauConfig",
    "ProbesConfig",
    "ScheduleConfig",
    "StartConfig",
    "StreamConfig",
    "WarmupConfig",
]

"""Settings: frozen dataclasses that check what they are given, and the run they describe."""

from resnet_study.config.data import AugmentConfig, DataConfig, StreamConfig
from resnet_study.config.model import ModelConfig
from resnet_study.config.probes import ProbesConfig
from resnet_study.config.run import RunConfig
from resnet_study.config.schedule import (
    CheckpointConfig,
    PlateauConfig,
    ScheduleConfig,
    WarmupConfig,
)
from resnet_study.config.start import StartConfig

__all__ = [
    "AugmentConfig",
    "CheckpointConfig",
    "DataConfig",
    "ModelConfig",
    "PlateauConfig",
    "ProbesConfig",
    "RunConfig",
    "ScheduleConfig",
    "StartConfig",
    "StreamConfig",
    "WarmupConfig",
]

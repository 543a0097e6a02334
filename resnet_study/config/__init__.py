"""Settings: frozen dataclasses that check their values, and the run that they describe."""

from resnet_study.config.data import AugmentConfig as AugmentConfig
from resnet_study.config.data import DataConfig as DataConfig
from resnet_study.config.data import StreamConfig as StreamConfig
from resnet_study.config.model import ModelConfig as ModelConfig
from resnet_study.config.probes import ProbesConfig as ProbesConfig
from resnet_study.config.run import RunConfig as RunConfig
from resnet_study.config.schedule import CheckpointConfig as CheckpointConfig
from resnet_study.config.schedule import PlateauConfig as PlateauConfig
from resnet_study.config.schedule import ScheduleConfig as ScheduleConfig
from resnet_study.config.schedule import WarmupConfig as WarmupConfig
from resnet_study.config.start import StartConfig as StartConfig

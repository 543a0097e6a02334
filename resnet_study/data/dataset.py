"""TEMPORARY adapter until data/ has one protocol."""

from __future__ import annotations

from typing import Any

from resnet_study.data import prepare_data
from resnet_study.data import loader
from resnet_study.data.reader import naming_deaths
from resnet_study.data.stream import StreamedFolder


PreparedData, Shard, Views = loader.RunData, loader.Turns, loader.Views

class Dataset:
    def __init__(self, images, config):
        self.images = images
        self.config = config
        self.skipped: list[str] = (
            images.unreadable.paths if isinstance(images, StreamedFolder) else []
        )

    @property
    def classes(self):
        return self.images.classes

    @property
    def train_labels(self):
        return self.images.train_labels

    def fingerprint(self) -> str:
        return self.images.fingerprint()

    def describe(self) -> dict[str, Any]:
        return self.images.describe()

    def prepare(self, config, device, workers) -> PreparedData:
        return prepare_data(self.images, config, device, workers)

    def worker_deaths_named(self):
        return naming_deaths(self.config.stream.workers)

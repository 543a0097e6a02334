"""The description of one run: frozen, validated, and the source of its id.

The defaults here are the paper's protocol: CIFAR-10, 64,000 iterations of 128. Everything
that moves a curve is part of the id; where and how a run is executed (folders, device,
threads, checkpoint cadence) is not. Defaults are left out of the hash, so a setting added
later leaves the ids of older runs alone; for the same reason a default must never change.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache, cached_property
from typing import Any

from resnet_study.config.data import DataConfig
from resnet_study.config.fields import check, differences, from_mapping, setting
from resnet_study.config.model import ModelConfig
from resnet_study.config.probes import ProbesConfig
from resnet_study.config.schedule import CheckpointConfig, ScheduleConfig
from resnet_study.config.start import StartConfig
from resnet_study.system.errors import ConfigError


@dataclass(frozen=True)
class RunConfig:
    """One run, in full.

    Attributes:
        model: The network.
        data: The data set and its augmentation.
        schedule: Length, rates and cadence.
        seed: Of initial weights, order, crops and flips.
        precision: "fp32", or "bf16" for autocast with float32 weights.
        start: Trained weights to start from, in place of initial ones.
        probes: What is recorded besides the metrics.
        batch_norm_parts: Number of equal parts of each mini-batch that batch norm normalises
            separately, as it does on several GPUs; 1 is the whole mini-batch.
        checkpoint: When the state is saved.
        activation_checkpointing: Whether activations are computed again in the backward pass
            instead of kept; the curve stays the same.
        device: "cpu", "cuda", or one GPU as in "cuda:1"; "auto" uses a GPU if there is one.
        kernels: "auto" fuses batch norm, addition and ReLU on a CPU with a C++ compiler;
            "torch" uses torch's own kernels. They differ in rounding.
        threads: CPU threads of one run; null uses all cores.
        logger: Where metrics are shown besides metrics.csv: "none", "tensorboard", "wandb", or a
            list of them.
        runs_dir: Where experiments are kept.
        experiment_name: Folder of this run's experiment in `runs_dir`.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    seed: int = setting(0, int, minimum=0, maximum=2**31 - 1)
    precision: str = setting("fp32", str, choices=("fp32", "bf16"))
    start: StartConfig = field(default_factory=StartConfig)
    probes: ProbesConfig = field(default_factory=ProbesConfig)
    batch_norm_parts: int = setting(1, int, minimum=1)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    activation_checkpointing: bool = setting(False, bool, identity=False)
    device: str = setting("auto", str, identity=False)
    kernels: str = setting("auto", str, choices=("auto", "torch"), identity=False)
    threads: int | None = setting(None, int, minimum=1, maximum=4096, optional=True, identity=False)
    logger: str | tuple[str, ...] = setting(
        "none", str, choices=("none", "tensorboard", "wandb"), alone=True, identity=False
    )
    runs_dir: str = setting("runs", str, identity=False, path=True)
    experiment_name: str = setting("default", str, maximum=200, identity=False)

    def __post_init__(self) -> None:
        check(self)
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            allowed = "must be auto, cpu, cuda, or cuda:1 and so on; on a Mac, use device=cpu"
            raise ConfigError("device", self.device, allowed)
        if self.schedule.batch_size % self.batch_norm_parts:
            allowed = f"must be a divisor of schedule.batch_size={self.schedule.batch_size}"
            raise ConfigError("batch_norm_parts", self.batch_norm_parts, allowed)
        if self.start.depth == self.model.depth:
            # This is the run of that depth itself; a sweep over both settings trains it once.
            object.__setattr__(self, "start", StartConfig())
        if (self.start.depth or 0) > self.model.depth:
            raise ConfigError(
                "start.depth", self.start.depth, f"must be at most model.depth={self.model.depth}"
            )
        if self.start.depth is not None:
            try:
                replace(self.model, depth=self.start.depth)
            except ConfigError as error:
                raise ConfigError("start.depth", self.start.depth, error.allowed) from error
            self.model.check_deepening(self.start.depth)
        if self.model.norm == "none":
            schedule = replace(self.schedule, eval_statistics="running")
            object.__setattr__(self, "schedule", schedule)
        if self.start.depth is not None and self.schedule.recomputes:
            allowed = "must be running with start.depth, so that added layers are exact identities"
            raise ConfigError("schedule.eval_statistics", "recomputed", allowed)
        if self.probes.at and max(self.probes.at) > self.schedule.iterations:
            allowed = f"must be at most schedule.iterations={self.schedule.iterations}"
            raise ConfigError("probes.at", list(self.probes.at), allowed)
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", self.experiment_name) or (
            ".." in self.experiment_name.split("/")
        ):
            allowed = "must consist of letters, digits, -, _ and ., with / between folders"
            raise ConfigError("experiment_name", self.experiment_name, allowed)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> RunConfig:
        """Builds a run's description from nested mappings.

        Raises:
            ConfigError: A key is unknown or a value is not allowed.
        """
        config: RunConfig = from_mapping(cls, values)
        return config

    @property
    def loggers(self) -> tuple[str, ...]:
        """The chosen loggers, each once; without "none", which chooses none."""
        chosen = (self.logger,) if isinstance(self.logger, str) else self.logger
        return tuple(name for name in dict.fromkeys(chosen) if name != "none")

    def shallower(self) -> RunConfig | None:
        """The run whose weights `start.depth` asks for; None where it is null."""
        if self.start.depth is None:
            return None
        return replace(self, model=replace(self.model, depth=self.start.depth), start=StartConfig())

    def to_mapping(self) -> dict[str, Any]:
        """The whole description as nested dicts and lists, ready for YAML or JSON."""
        mapping: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return mapping

    def canonical(self) -> dict[str, Any]:
        """The settings that identify the run: those that move its curve and are not default."""
        changed = differences(self, _defaults())
        if self.data.in_folder:
            # A folder may move; its title says which data it holds.
            changed["data"]["label"] = self.data.title
        if self.start.run is not None:
            changed["start"]["run"] = self.start.run.rstrip("/").rpartition("/")[2]
        return changed

    @cached_property
    def run_id(self) -> str:
        """Readable and unique, as in `residual-A-056-w8-s0-3f9c21`."""
        parts = [f"{self.model.family}-{self.model.depth:03d}", *self._differing_words()]
        text = json.dumps(self.canonical(), sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(text.encode()).hexdigest()[:6]
        return "-".join([*parts, f"s{self.seed}", digest])

    def _differing_words(self) -> list[str]:
        """The differences that a reader looks for first; the hash covers the others."""
        model, data, schedule, usual = self.model, self.data, self.schedule, _defaults()
        name = data.title if data.in_folder else data.name
        word = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        unnamed = schedule.name == usual.schedule.name
        other_length = schedule.iterations != usual.schedule.iterations
        candidates = (
            (f"stride{model.bottleneck_stride}", model.bottleneck_stride != "1x1"),
            (f"span{model.layers_per_block}", model.layers_per_block != 2),
            (f"w{model.width}", model.width != model.design.width),
            (model.init, model.init != usual.model.init),
            ("nonorm", model.norm == "none"),
            (f"from{self.start.depth}", self.start.depth is not None),
            ("from_run", self.start.run is not None),
            (word or "data", data.name != usual.data.name or data.label is not None),
            (f"r{data.resolution}", data.resolution is not None),
            (f"n{data.train_images}", data.train_images is not None),
            ("colour", data.augment.colour > 0),
            (schedule.name, not unnamed),
            (f"i{schedule.iterations}", unnamed and other_length),
            (f"bn{self.batch_norm_parts}", self.batch_norm_parts > 1),
            (self.precision, self.precision != usual.precision),
        )
        words = [word for word, differs in candidates if differs]
        if model.architecture == usual.model.architecture:
            return words
        # Data and schedule often share the architecture's name, which then appears once.
        return [model.architecture, *(word for word in words if word != model.architecture)]


@cache
def _defaults() -> RunConfig:
    """The run with default settings; made once, since every id of a sweep needs it."""
    return RunConfig()

"""Where a sweep's runs would be trained: what its launcher says, in the study's terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_study.errors import ConfigError
from resnet_study.sweep import RUNS_PER_GPU, workers_and_threads

# Without one of these files there is no GPU to ask torch for: NVIDIA's, WSL's and AMD's.
DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


@dataclass(frozen=True)
class Place:
    """Where and how many at a time.

    Attributes:
        launcher: Its name, such as "local".
        workers: Runs that go on at the same time.
        threads: CPU threads of each, where the run's own setting is null.
        gpus: That all workers share; on a cluster, that each run has.
        cores: That all workers share; None on a cluster, where each run has its own.
        cluster: Whether runs are trained on other machines than this one.
        own_process: Whether each run starts a process.
        minutes: Limit of one process, and how often a run may reach it and go on; None
            where there is no limit.
    """

    launcher: str
    workers: int
    threads: int
    gpus: int = 0
    cores: int | None = None
    cluster: bool = False
    own_process: bool = False
    minutes: tuple[int, int] | None = None

    @property
    def device(self) -> str:
        """The kind of device: "cpu" or "cuda"."""
        return "cuda" if self.gpus else "cpu"

    def describe(self) -> str:
        """In words, such as "2 at a time on 1 core each (launcher local)"."""
        cores = f"{self.threads} core{'s' if self.threads > 1 else ''}"
        on = cores
        if self.gpus and self.cluster:
            on = f"{self.gpus} GPU{'s' if self.gpus > 1 else ''} and {cores}"
        each = " each" if self.workers > 1 else ""
        text = f"{self.workers} at a time on {on}{each}"
        if self.gpus and not self.cluster:
            text += f", sharing {self.gpus} GPU{'s' if self.gpus > 1 else ''}"
        return f"{text} (launcher {self.launcher})"


def is_cluster(settings: Mapping[str, Any]) -> bool:
    """Whether a launcher with these settings trains on other machines."""
    return "Slurm" in str(settings.get("_target_"))


def place_of(
    name: str,
    settings: Mapping[str, Any],
    runs: int,
    cores: int,
    gpus: int,
    per_gpu: int = RUNS_PER_GPU,
) -> Place:
    """Where runs are trained by a launcher with these settings.

    Args:
        name: The launcher's name.
        settings: Its settings, as in conf/hydra/launcher.
        runs: Distinct runs of the sweep, finished ones included.
        cores: Of this machine.
        gpus: Of this machine, that runs would be trained on.
        per_gpu: Runs that share one, as from `runs_per_gpu`.

    Raises:
        ConfigError: A setting is not a number, or allows no run.
    """
    if is_cluster(settings):
        return _cluster(name, settings, runs)
    key = "array_parallelism" if "array_parallelism" in settings else "n_jobs"
    asked = _number(settings, key, 1)
    if asked == 0:
        raise ConfigError(f"hydra.launcher.{key}", 0, "allowed is 1 or more, or -1 for all cores")
    workers, threads = workers_and_threads(asked, runs, cores, gpus, per_gpu=per_gpu)
    return Place(
        name, workers, threads, gpus, cores, own_process=key != "n_jobs", minutes=_limit(settings)
    )


def _cluster(name: str, settings: Mapping[str, Any], runs: int) -> Place:
    most = _number(settings, "array_parallelism", 1)
    if most < 1:
        raise ConfigError("hydra.launcher.array_parallelism", most, "allowed is 1 or more")
    return Place(
        name,
        min(most, runs),
        max(1, _number(settings, "cpus_per_task", 1)),
        _number(settings, "gpus_per_node", 0) or _number(settings, "gpus_per_task", 0),
        cluster=True,
        own_process=True,
        minutes=_limit(settings),
    )


def _limit(settings: Mapping[str, Any]) -> tuple[int, int] | None:
    if settings.get("timeout_min") is None:
        return None
    return _number(settings, "timeout_min", 0), _number(settings, "max_num_timeout", 0)


def _number(settings: Mapping[str, Any], key: str, default: int) -> int:
    value = settings.get(key)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(f"hydra.launcher.{key}", value, "allowed is an integer")
    return value


def gpus_here(device: str) -> int:
    """GPUs of this machine that runs with this `device` would be trained on.

    Raises:
        DeviceError: A GPU is asked for that is not there.
    """
    if device == "cpu" or (device == "auto" and not any(Path(p).exists() for p in DRIVERS)):
        return 0
    import torch

    from resnet_study.machine import choose_device

    if choose_device(device).type == "cpu":
        return 0
    return 1 if ":" in device else torch.cuda.device_count()


def name_of_device(device: str) -> str:
    """The name of what this machine trains on, as it stands in manifests and benchmarks."""
    if device == "cpu":
        from resnet_study.processor import processor_name

        return processor_name()
    import torch

    from resnet_study.machine import device_name

    return device_name(torch.device("cuda", 0))

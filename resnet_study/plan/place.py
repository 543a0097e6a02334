"""Where the runs of a sweep would train, as its launcher's settings say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib

from resnet_study.config import RunConfig
from resnet_study.sweep import distinct, runs_per_gpu, workers_and_threads
from resnet_study.system.processor import processor_name

# Without one of these files of NVIDIA, WSL or AMD there is no GPU, and no need to import torch.
DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


@dataclass(frozen=True)
class Place:
    """The machine or cluster that trains.

    Attributes:
        launcher: The launcher's name, such as "local".
        workers: Runs that train at the same time.
        threads: CPU threads of each, where the run's own setting is null.
        gpus: GPUs that all workers share; on a cluster, those of each run.
        cores: CPU cores that all workers share; None on a cluster, where each run has its own.
        device_name: What this machine trains on; None on a cluster.
        timeout_min: Minutes that Slurm allows a job; None without a limit.
        max_num_timeout: How often a run may reach that limit and resume.
    """

    launcher: str
    workers: int
    threads: int
    gpus: int = 0
    cores: int | None = None
    device_name: str | None = None
    timeout_min: int | None = None
    max_num_timeout: int = 0

    @property
    def cluster(self) -> bool:
        return self.cores is None

    @property
    def start_seconds(self) -> float:
        """Seconds until a run trains, assumed.

        Data and network take 2, a process of its own 5, the capture of a CUDA graph 6.
        """
        return 2.0 + 5.0 * self.cluster + 6.0 * (self.gpus > 0)


def place_of(name: str, settings: Mapping[str, Any], configs: Sequence[RunConfig]) -> Place:
    """Where a launcher with these settings would train.

    Args:
        name: The launcher's name.
        settings: Its settings, as in conf/hydra/launcher.
        configs: The sweep's runs, finished ones included.

    Raises:
        ConfigError: The launcher's settings allow no run.
        DeviceError: The runs ask for a GPU that does not exist.
    """
    runs = len(distinct(configs))
    if "array_parallelism" in settings:
        return Place(
            name,
            max(1, min(settings["array_parallelism"], runs)),
            settings.get("cpus_per_task") or 1,
            settings.get("gpus_per_node") or settings.get("gpus_per_task") or 0,
            timeout_min=settings.get("timeout_min"),
            max_num_timeout=settings.get("max_num_timeout") or 0,
        )
    cores = joblib.cpu_count()
    gpus, device_name = _device(configs[0].device)
    asked, per_gpu = settings.get("n_jobs", 1), runs_per_gpu(configs)
    workers, threads = workers_and_threads(asked, runs, cores, gpus, per_gpu)
    return Place(name, workers, threads, gpus, cores, device_name)


def _device(device: str) -> tuple[int, str]:
    """Number of GPUs on this machine that would train, and the name of the device.

    The name is that of manifests and benchmarks. Torch is imported only to look for a GPU.
    """
    if device == "cpu" or (device == "auto" and not any(Path(p).exists() for p in DRIVERS)):
        return 0, processor_name()
    from resnet_study.system import machine

    return machine.gpu_count(device), machine.device_name(machine.choose_device(device))

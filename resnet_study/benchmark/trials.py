"""Every recipe on every network, and its measurements."""

import math
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from resnet_study.benchmark.measure import conventional, evaluation, training
from resnet_study.benchmark.networks import run_of
from resnet_study.benchmark.pool import Window, WorkerPool
from resnet_study.config import ModelConfig, RunConfig
from resnet_study.models import build_network
from resnet_study.models.counting import count_multiply_adds

# Seconds until a process has loaded, allocated and, on a GPU, captured, by type of device.
DELAY = {"cpu": 1.0, "cuda": 6.0}


@dataclass
class Trial:
    """A recipe on a network, by default one of the study's own, and its measurements.

    Attributes:
        network: Name of the network.
        recipe: "one process", "sweep" or "conventional".
        precision: "fp32", "bf16", or, of the conventional recipe on a GPU, "tf32".
        config: The run that is trained; in its `runs_dir` nothing is kept.
        workers: Processes that train at the same time.
        rates: Images per second of all processes together, one number for each round.
        details: What else was measured.
    """

    network: str
    recipe: str
    precision: str
    config: RunConfig
    workers: int = 1
    rates: list[float] = field(default_factory=list)
    details: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the trial in messages."""
        return f"{self.network}, {self.recipe}, {self.precision}"

    def measure(self, pool: WorkerPool, seconds: float) -> None:
        """Trains in all processes for some seconds, and adds a rate."""
        with tempfile.TemporaryDirectory(dir=self.config.runs_dir, prefix=".scratch-") as folder:
            runs = [replace(self.config, runs_dir=folder, seed=n) for n in range(self.workers)]
            window = self.window(seconds)
            found = pool.run(training, *((run, window) for run in runs))
        self.rates.append(sum(each["images_per_second"] for each in found))
        # A process may still hold memory of earlier work: the lowest peak is the true one.
        former = self.details.get("peak_memory_bytes", math.inf)
        self.details |= {
            "checkpoint_seconds": max(each["checkpoint_seconds"] for each in found),
            "peak_memory_bytes": min(former, *(each["peak_memory_bytes"] for each in found)),
        }

    def measure_evaluation(self, pool: WorkerPool) -> None:
        """Evaluates in all processes, for estimates of how long a sweep will take."""
        rates = pool.run(evaluation, *[(self.config,)] * self.workers)
        self.details["evaluation_images_per_second"] = sum(rates)

    def window(self, seconds: float) -> Window:
        """Returns a window that opens when all processes are ready."""
        return Window(time.monotonic() + DELAY[self.config.device], seconds, self.workers)


@dataclass
class ConventionalTrial(Trial):
    """The conventional recipe on a network, in torch's default precision.

    Attributes:
        loaders: Numbers of loader processes to measure it with. All are tried in the first round
            and the better two in the others; a round's best counts.
    """

    loaders: list[int] = field(default_factory=list)

    def measure(self, pool: WorkerPool, seconds: float) -> None:
        rates = {}
        for loaders in self.loaders:
            window = self.window(seconds)
            [rates[loaders]] = pool.run(conventional, (self.config, window, loaders))
        self.loaders = sorted(rates, key=rates.__getitem__, reverse=True)[:2]
        self.rates.append(rates[self.loaders[0]])
        self.details["loader_processes"] = self.loaders[0]

    def measure_evaluation(self, pool: WorkerPool) -> None:
        """Measures nothing: no sweep evaluates in this way."""


def trials_of(
    network: str, runs_dir: str, device: str, cores: int, workers: int, precisions: Sequence[str]
) -> list[Trial]:
    """Returns all trials of a network, the conventional one first.

    Args:
        network: Its name.
        runs_dir: A folder for runs that are thrown away.
        device: "cpu" or "cuda".
        cores: CPU cores that the processes of a trial share.
        workers: Processes of a sweep.
        precisions: Precisions in which to measure the study's recipes.
    """
    config = replace(run_of(network), device=device, runs_dir=runs_dir, threads=cores)
    default = "fp32" if device == "cpu" else "tf32"
    first = ConventionalTrial(network, "conventional", default, config)
    first.loaders = sorted({0, 1, cores // 2, cores})
    trials: list[Trial] = [first]
    for processes in sorted({1, workers}):
        recipe = "sweep" if processes > 1 else "one process"
        for precision in precisions:
            own = replace(config, precision=precision, threads=max(1, cores // processes))
            trials.append(Trial(network, recipe, precision, own, processes))
    return trials


def summary(trials: Sequence[Trial], ceilings: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Returns what has been measured, ready for JSON.

    Args:
        trials: Of each network the conventional one comes first.
        ceilings: Floating-point operations per second of the matrix product, by precision.
    """
    records: list[dict[str, Any]] = []
    for trial in trials:
        model, rate = trial.config.model, statistics.median(trial.rates)
        if isinstance(trial, ConventionalTrial):
            base = rate
        side = trial.config.data.resolution or 32
        ceiling = statistics.median(ceilings[trial.precision])
        record = {
            "network": trial.network,
            "depth": model.depth,
            "width": model.width,
            "side": side,
            "batch_size": trial.config.schedule.batch_size,
            "recipe": trial.recipe,
            "precision": trial.precision,
            "workers": trial.workers,
            "threads": trial.config.threads,
            "images_per_second": rate,
            "rounds": trial.rates,
            "times_conventional": rate / base,
            "share_of_ceiling": rate * training_operations(model, side) / ceiling,
        }
        records.append(record | trial.details)
    return {
        "rounds": len(trials[0].rates),
        "ceiling_operations_per_second": ceilings,
        "measurements": records,
    }


def training_operations(model: ModelConfig, side: int) -> int:
    """Returns the floating-point operations of training on one image once.

    Only convolutions and the head are counted. A multiply-add is two, and the backward pass is two
    forward passes: one for the gradients of the weights, one for those of the inputs.
    """
    return 3 * 2 * count_multiply_adds(build_network(model, 10), side, side)

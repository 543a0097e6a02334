"""Hydra sweeper of the study: each distinct run once, the longest first, finished ones never.

Hydra accepts plugins from the namespace `hydra_plugins` only, hence this folder. The
adapter turns override lists into runs; what is done with them stands in
`resnet_study/sweep.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import joblib
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser

from hydra_plugins.resnet_study_compose import Composer
from resnet_study.__main__ import fail, to_run_config
from resnet_study.config import RunConfig
from resnet_study.errors import ConfigError, StudyError
from resnet_study.interruption import StopRequest
from resnet_study.processes import Processes
from resnet_study.sweep import Job, execute, runs_per_gpu, workers_and_threads


class StudySweeper(BasicSweeper):
    """Expands a sweep as Hydra's basic sweeper does, then plans it before launching."""

    def sweep(self, arguments: list[str]) -> None:
        """Runs the sweep and ends the process with its exit status."""
        try:
            if (size := Processes.here().size) > 1:
                raise ConfigError(
                    "torchrun", f"{size} processes", "allowed is one run; a sweep has a launcher"
                )
            jobs = self._jobs(arguments)
            self.runs = len({job.config.run_id for job in jobs})
            status = execute(jobs, self._launch, self._elsewhere)
        except StudyError as error:
            fail(error)
        if status:
            raise SystemExit(status)

    def _jobs(self, arguments: list[str]) -> list[Job]:
        assert self.hydra_context is not None
        assert self.config is not None
        loader = self.hydra_context.config_loader
        parser = OverridesParser.create(config_loader=loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        composer = Composer(loader, self.config)
        jobs: list[Job] = []
        for combination in self.split_arguments(overrides, None)[0]:
            composed = composer.compose(combination)
            if self._elsewhere and composed.precision == "auto":
                raise ConfigError(
                    "precision",
                    "auto",
                    "other machines train, and runs are named by it; allowed are fp32, bf16",
                )
            config = to_run_config(composed)
            if "hydra" in composed and (
                Path(composed.hydra.sweep.dir) != Path(config.runs_dir) / config.experiment_name
            ):
                raise ConfigError(
                    "hydra.sweep.dir",
                    composed.hydra.sweep.dir,
                    "follows runs_dir and experiment_name; set those",
                )
            jobs.append(Job(tuple(combination), config))
        if not jobs:
            raise ConfigError("sweep", " ".join(arguments), "describes no run")
        return jobs

    def _launch(self, jobs: Sequence[Job], stop: StopRequest) -> dict[str, str]:
        assert self.launcher is not None
        threads, gpus = self._shares([job.config for job in jobs])
        overrides = [
            [
                *job.overrides,
                f"hydra.sweep.subdir={job.config.run_id}",
                f"threads={job.config.threads or threads}",
                # What "auto" stands for is this process's to say: run ids depend on it.
                f"precision={job.config.precision}",
                f"device={f'cuda:{number % gpus}' if gpus > 1 else job.config.device}",
            ]
            for number, job in enumerate(jobs)
        ]
        returns = self.launcher.launch(_UntilStopped(stop, overrides), initial_job_idx=0)
        outcomes = [str(result.return_value) for result in returns]
        return {
            job.config.run_id: outcome.removeprefix("failed: ")
            for job, outcome in zip(jobs, outcomes, strict=False)
            if outcome.startswith("failed: ")
        }

    def _shares(self, configs: Sequence[RunConfig]) -> tuple[int | str, int]:
        """Threads of a run, and GPUs of this machine; tells the launcher how many workers.

        The launcher was made before anything was known of the runs.
        """
        assert self.config is not None
        settings = self.config.hydra.launcher
        if self._elsewhere:
            return settings.get("cpus_per_task") or "null", 0
        gpus = _gpus(configs[0].device)
        asked, cores = int(settings.get("n_jobs", 1)), int(joblib.cpu_count())
        workers, threads = workers_and_threads(asked, self.runs, cores, gpus, runs_per_gpu(configs))
        if "n_jobs" in settings:
            self.launcher.joblib["n_jobs"] = workers  # type: ignore[union-attr]
        return threads, gpus

    @property
    def _elsewhere(self) -> bool:
        """Whether the launcher's runs are trained on other machines."""
        return bool(getattr(self.launcher, "elsewhere", False))


def _gpus(device: str) -> int:
    """GPUs that runs are trained on; to launch a run takes torch anyway."""
    from resnet_study.machine import gpu_count

    return gpu_count(device)


class _UntilStopped(Sequence[Sequence[str]]):
    """Jobs' overrides; launchers that walk through them lazily start none after a stop."""

    def __init__(self, stop: StopRequest, jobs: list[list[str]]) -> None:
        self.stop = stop
        self.jobs = jobs

    def __len__(self) -> int:
        return len(self.jobs)

    def __getitem__(self, index: Any) -> Any:
        return self.jobs[index]

    def __iter__(self) -> Iterator[Sequence[str]]:
        return itertools.takewhile(lambda _: not self.stop.requested, iter(self.jobs))


ConfigStore.instance().store(
    group="hydra/sweeper",
    name="study",
    node={
        "_target_": f"{__name__}.StudySweeper",
        "max_batch_size": None,
        "params": None,
    },
    provider="resnet_study",
)

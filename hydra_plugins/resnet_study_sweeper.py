"""Hydra sweeper of the study: each distinct run once, the longest first, finished ones never.

Hydra accepts plugins from the namespace `hydra_plugins` only, hence this folder. The
adapter turns override lists into runs; what is done with them stands in
`resnet_study/sweep.py`.
"""

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf, read_write
from omegaconf.errors import OmegaConfBaseException

from hydra_plugins.resnet_study_compose import Composer
from resnet_study.cli import error_of, fail, register, to_run_config
from resnet_study.config import RunConfig
from resnet_study.store.folder import RunFolder
from resnet_study.sweep import execute, folder_of, hand_down, runs_per_gpu, workers_and_threads
from resnet_study.system.errors import ConfigError, StudyError
from resnet_study.system.interruption import NotDone, StopRequest
from resnet_study.training.world import World

# What conf/config.yaml says.
SWEEP_DIR = "${runs_dir}/${experiment_name}"


class StudySweeper(BasicSweeper):
    """Expands a sweep as Hydra's basic sweeper does, then plans it before launching."""

    # Which Hydra sets before it calls anything here.
    config: Any
    hydra_context: Any
    launcher: Any

    def sweep(self, arguments: list[str]) -> None:
        """Runs the sweep and ends the process with its exit status."""
        try:
            if (size := World.here().size) > 1:
                allowed = "allowed is one run; a sweep has a launcher"
                raise ConfigError("torchrun", f"{size} processes", allowed)
            configs = self._configs(arguments)
            self.runs = len({*map(folder_of, configs)})
            # Launchers make this folder; only now is it known which one that is.
            with read_write(self.config.hydra.sweep):
                self.config.hydra.sweep.dir = str(folder_of(configs[0]).parent)
            status = execute(configs, self._launch, self._elsewhere)
        except StudyError as error:
            fail(error)
        if status:
            raise SystemExit(status)

    def _configs(self, arguments: list[str]) -> list[RunConfig]:
        """The runs that are asked for; whatever they are made of is resolved here."""
        if self.config.hydra.job.chdir:
            raise ConfigError("hydra.job.chdir", True, "must be false: paths start from one folder")
        sweep: Any = OmegaConf.to_container(self.config.hydra.sweep, resolve=False)
        if (typed := sweep["dir"]) != SWEEP_DIR:
            allowed = "follows runs_dir and experiment_name; set those"
            raise ConfigError("hydra.sweep.dir", typed, allowed)
        # The folder is resolved first, so that all combinations share what `${now:…}` says in it.
        HydraConfig.instance().set_config(self.config)
        # As Hydra does around a job.
        os.environ.update({str(k): str(v) for k, v in self.config.hydra.job.env_set.items()})
        with suppress(OmegaConfBaseException):  # What is wrong is said of the first run.
            _ = self.config.hydra.sweep.dir
        composer = Composer(self.hydra_context.config_loader, self.config)
        configs: list[RunConfig] = []
        for combination in self._combinations(arguments):
            composed = composer.compose(combination)
            if "hydra" in composed:  # What `${hydra:…}` in a setting refers to.
                HydraConfig.instance().set_config(composed)
            if self._elsewhere and composed.precision == "auto":
                raise ConfigError("precision", "auto", "must be fp32 or bf16: other machines train")
            configs.append(to_run_config(composed))
        if not configs:
            raise ConfigError("sweep", " ".join(arguments), "describes no run")
        return configs

    def _combinations(self, arguments: list[str]) -> Iterator[list[str]]:
        """The overrides of each run: of every experiment that is named, with its own grid."""
        loader = self.hydra_context.config_loader
        parser = OverridesParser.create(config_loader=loader)
        words = [*self._parse_config(), *arguments]
        overrides = parser.parse_overrides(words)
        swept = [o for o in overrides if o.key_or_group == "experiment" and o.is_sweep_override()]
        for name in swept[-1].sweep_string_iterator() if swept else ():
            choice = f"experiment={name}"
            grid = loader.load_sweep_config(self.config, [choice]).hydra.sweeper.params or {}
            params = [f"{key}={value}" for key, value in grid.items()]
            own = [word for word, o in zip(words, overrides, strict=True) if o not in swept]
            together = parser.parse_overrides([choice, *params, *own])
            yield from self.split_arguments(together, None)[0]
        if not swept:
            yield from self.split_arguments(overrides, None)[0]

    def _launch(self, configs: Sequence[RunConfig], stop: StopRequest) -> dict[Path, str]:
        threads, gpus = self._shares(configs)
        words = []
        for number, config in enumerate(configs):
            device = f"cuda:{number % gpus}" if gpus > 1 else config.device
            run = replace(config, threads=config.threads or threads, device=device)
            # A run makes its own folder; Hydra's would be another one.
            places = ("hydra.sweep.dir=.", "hydra.sweep.subdir=.", "hydra.output_subdir=null")
            words.append([f"+run_config={hand_down(run)}", *places])
        returns = self.launcher.launch(_UntilStopped(stop, words), initial_job_idx=0)
        failures = {}
        for config, result in zip(configs, returns, strict=False):
            error, folder = error_of(result), folder_of(config)
            if error is None and RunFolder(folder).completed() is None:
                # Another start would end in the same way.
                there = Path(str(result.working_dir)) / RunFolder.of(config).path
                told = f"says that a run has finished in {there}, but {folder} holds none; "
                told += "its machines must share this folder"
                launcher = self.config.hydra.runtime.choices["hydra/launcher"]
                raise StudyError("hydra/launcher", launcher, told)
            if error is not None and not isinstance(error, NotDone):
                failures[folder] = str(error)
        return failures

    def _shares(self, configs: Sequence[RunConfig]) -> tuple[int | None, int]:
        """Threads of a run, and GPUs of this machine; tells the launcher how many workers.

        The launcher was made before anything was known of the runs.
        """
        settings = self.config.hydra.launcher
        if self._elsewhere:
            return settings.get("cpus_per_task"), 0
        # To launch a run takes torch anyway.
        from resnet_study.system.machine import gpu_count

        gpus = gpu_count(configs[0].device)
        asked, cores = int(settings.get("n_jobs", 1)), int(joblib.cpu_count())
        workers, threads = workers_and_threads(asked, self.runs, cores, gpus, runs_per_gpu(configs))
        if "n_jobs" in settings:
            self.launcher.joblib["n_jobs"] = workers
        return threads, gpus

    @property
    def _elsewhere(self) -> bool:
        """Whether the launcher's runs are trained on other machines."""
        return bool(getattr(self.launcher, "elsewhere", False))


class _UntilStopped(list[list[str]]):
    """Jobs' overrides; launchers that walk through them lazily start none after a stop."""

    def __init__(self, stop: StopRequest, jobs: list[list[str]]) -> None:
        super().__init__(jobs)
        self.stop = stop

    def __iter__(self) -> Iterator[list[str]]:
        return itertools.takewhile(lambda _: not self.stop.requested, super().__iter__())


register(
    "hydra/sweeper",
    "study",
    {
        "_target_": f"{__name__}.StudySweeper",
        "max_batch_size": None,
        "params": None,
    },
)

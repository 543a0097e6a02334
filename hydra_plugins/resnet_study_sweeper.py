"""Hydra sweeper of the study: each distinct run once, the longest first, finished ones never.

Hydra accepts plugins from the namespace `hydra_plugins` alone, hence this folder. This adapter
turns lists of overrides into runs; `resnet_study/sweep.py` decides what to do with them.
"""

import itertools
import os
from collections import Counter
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
from resnet_study.cli import error_of, register, to_run_config
from resnet_study.config import RunConfig
from resnet_study.store.folder import RunFolder
from resnet_study.sweep import execute, folder_of, hand_down, runs_per_gpu, workers_and_threads
from resnet_study.system.errors import ConfigError, StudyError
from resnet_study.system.interruption import NotDone, StopRequest
from resnet_study.training.world import World

# As in conf/config.yaml.
SWEEP_DIR = "${runs_dir}/${experiment_name}"


class StudySweeper(BasicSweeper):
    """Expands a sweep as Hydra's basic sweeper does, then plans it before launching."""

    # Hydra sets these before it calls anything here.
    config: Any
    hydra_context: Any
    launcher: Any

    def sweep(self, arguments: list[str]) -> None:
        """Runs the sweep and ends the process with its exit status."""
        if (size := World.here().size) > 1:
            rule = "must start one run; a sweep uses a launcher"
            raise ConfigError("torchrun", f"{size} processes", rule)
        configs = self._configs(arguments)
        self.runs = len({*map(folder_of, configs)})
        # Launchers make this folder; its name is only known now.
        with read_write(self.config.hydra.sweep):
            self.config.hydra.sweep.dir = str(folder_of(configs[0]).parent)
        if status := execute(configs, self._launch, self._elsewhere):
            raise SystemExit(status)

    def _configs(self, arguments: list[str]) -> list[RunConfig]:
        """Returns the runs that are asked for, with every interpolation resolved."""
        if self.config.hydra.job.chdir:
            raise ConfigError("hydra.job.chdir", True, "must be false: paths start from one folder")
        sweep: Any = OmegaConf.to_container(self.config.hydra.sweep, resolve=False)
        if (typed := sweep["dir"]) != SWEEP_DIR:
            advice = "follows runs_dir and experiment_name; set those"
            raise ConfigError("hydra.sweep.dir", typed, advice)
        # The folder is resolved first, so that all combinations share its `${now:…}`.
        HydraConfig.instance().set_config(self.config)
        # As Hydra does around a job.
        os.environ.update({str(k): str(v) for k, v in self.config.hydra.job.env_set.items()})
        with suppress(OmegaConfBaseException):  # The first run reports what is wrong.
            _ = self.config.hydra.sweep.dir
        composer = Composer(self.hydra_context.config_loader, self.config)
        configs: list[RunConfig] = []
        for combination in self._combinations(arguments):
            composed = composer.compose(combination)
            if "hydra" in composed:  # For settings that refer to `${hydra:…}`.
                with read_write(composed.hydra):
                    composed.hydra.job.num = len(configs)
                    # As for a single run, whose `hydra.run.dir` is the current folder.
                    composed.hydra.runtime.output_dir = composed.hydra.runtime.cwd
                HydraConfig.instance().set_config(composed)
            if self._elsewhere and composed.precision == "auto":
                raise ConfigError("precision", "auto", "must be fp32 or bf16: other machines train")
            configs.append(to_run_config(composed))
        if not configs:
            raise ConfigError("sweep", " ".join(arguments), "describes no run")
        return configs

    def _combinations(self, arguments: list[str]) -> Iterator[list[str]]:
        """Yields the overrides of each run; every experiment that is named has its own grid."""
        loader = self.hydra_context.config_loader
        parser = OverridesParser.create(config_loader=loader)
        words = [*self._parse_config(), *arguments]
        overrides = parser.parse_overrides(words)
        named = Counter(o.key_or_group for o in parser.parse_overrides(arguments))
        for o in overrides:
            experiment = o.key_or_group == "experiment"
            twice = named[o.key_or_group] > 1 and (experiment or o.is_sweep_override())
            if twice or (experiment and isinstance(o.value(), list)):
                # Hydra would take the last one alone.
                rule = f"must be given once, without brackets: {o.key_or_group}=A,B"
                raise ConfigError(o.key_or_group, o.get_value_string(), rule)
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
        """Trains runs with Hydra's launcher; returns errors by folder."""
        threads, gpus = self._shares(configs)
        words = []
        for number, config in enumerate(configs):
            device = f"cuda:{number % gpus}" if gpus > 1 else config.device
            run = replace(config, threads=config.threads or threads, device=device)
            # A run makes its own folder, and Hydra none.
            places = ("hydra.sweep.dir=.", "hydra.sweep.subdir=.", "hydra.output_subdir=null")
            words.append([f"+run_config={hand_down(run)}", *places])
        returns = self.launcher.launch(_UntilStopped(stop, words), initial_job_idx=0)
        failures, errors = {}, [error_of(result) for result in returns]
        if any(isinstance(e, NotDone) for e in errors) and not (stop.requested or self._elsewhere):
            # A worker that somebody else stopped takes no further job: the next launch has others.
            joblib.externals.loky.get_reusable_executor().shutdown()
        for config, result, error in zip(configs, returns, errors, strict=False):
            folder = folder_of(config)
            if error is None and RunFolder(folder).completed() is None:
                # Starting the run again would end in the same way.
                there = Path(str(result.working_dir)) / RunFolder.of(config).path
                told = f"says that a run has finished in {there}, but {folder} holds none; "
                told += "use machines that share this folder"
                launcher = self.config.hydra.runtime.choices["hydra/launcher"]
                raise StudyError("hydra/launcher", launcher, told)
            if error is not None and not isinstance(error, NotDone):
                failures[folder] = str(error)
        return failures

    def _shares(self, configs: Sequence[RunConfig]) -> tuple[int | None, int]:
        """Returns threads of a run and GPUs of this machine, and sets the launcher's workers.

        Hydra makes the launcher before the runs are known.
        """
        settings = self.config.hydra.launcher
        if self._elsewhere:
            return settings.get("cpus_per_task"), 0
        # Launching imports torch anyway; planning does without.
        from resnet_study.system.machine import gpu_count

        gpus = gpu_count(configs[0].device)
        asked, cores = int(settings.get("n_jobs", 1)), int(joblib.cpu_count())
        workers, threads = workers_and_threads(asked, self.runs, cores, gpus, runs_per_gpu(configs))
        if "n_jobs" in settings:
            self.launcher.joblib["n_jobs"] = workers
        return threads, gpus

    @property
    def _elsewhere(self) -> bool:
        """Whether other machines than this one train the launcher's runs."""
        return bool(getattr(self.launcher, "elsewhere", False))


class _UntilStopped(list[list[str]]):
    """The overrides of jobs; launchers that iterate lazily start no job after a stop."""

    def __init__(self, stop: StopRequest, jobs: list[list[str]]) -> None:
        super().__init__(jobs)
        self.stop = stop

    def __iter__(self) -> Iterator[list[str]]:
        return itertools.takewhile(lambda _: not self.stop.requested, super().__iter__())


# Settings that Hydra's basic sweeper has, too.
SETTINGS = {"max_batch_size": None, "params": None}
register("hydra/sweeper", "study", {"_target_": f"{__name__}.StudySweeper", **SETTINGS})

"""Hydra sweeper that plans: it takes what the study's own sweeper takes, and starts nothing.

Hydra's scan executes plugins in the order of their names, again where they are imported
already. This one must come after the sweeper that it builds upon.
"""

from __future__ import annotations

from typing import Any

import joblib
from hydra.core.config_store import ConfigStore
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.resnet_study_sweeper import StudySweeper
from resnet_study.__main__ import fail
from resnet_study.errors import StudyError
from resnet_study.plan.place import gpus_here, is_cluster, name_of_device, place_of
from resnet_study.plan.plan import make_plan
from resnet_study.plan.text import show
from resnet_study.sweep import runs_per_gpu


class PlanSweeper(StudySweeper):
    """Prints what a sweep would take.

    Args:
        max_batch_size: Of no effect, as in `StudySweeper`.
        params: The experiment's.
        benchmark: A benchmark's file to estimate from; null for the best there is.
        as_json: Whether the plan is printed as JSON.
    """

    def __init__(
        self,
        max_batch_size: int | None,
        params: dict[str, str] | None = None,
        benchmark: str | None = None,
        as_json: bool = False,
    ) -> None:
        super().__init__(max_batch_size, params)
        self.benchmark = benchmark
        self.as_json = as_json

    def setup(
        self,
        *,
        hydra_context: HydraContext,
        task_function: TaskFunction,  # noqa: ARG002 - no task is carried out
        config: DictConfig,
    ) -> None:
        """Takes the config; the launcher, which is never used, is not made."""
        self.hydra_context = hydra_context
        self.config = config

    @property
    def _elsewhere(self) -> bool:
        assert self.config is not None
        return is_cluster(self.config.hydra.launcher)

    def sweep(self, arguments: list[str]) -> None:
        """Prints the plan."""
        assert self.config is not None
        try:
            jobs = self._jobs(arguments)
            settings: Any = OmegaConf.to_container(self.config.hydra.launcher, resolve=False)
            name = str(self.config.hydra.runtime.choices["hydra/launcher"])
            runs = len({job.config.run_id for job in jobs})
            cores = int(joblib.cpu_count())
            place = place_of(name, settings, runs, cores, gpus=0)
            if not place.cluster and (gpus := gpus_here(jobs[0].config.device)):
                shared = runs_per_gpu(job.config for job in jobs)
                place = place_of(name, settings, runs, cores, gpus, shared)
            device = "cpu" if place.cluster else place.device
            show(make_plan(jobs, place, self.benchmark, name_of_device(device)), self.as_json)
        except StudyError as error:
            fail(error)


ConfigStore.instance().store(
    group="hydra/sweeper",
    name="study_plan",
    node={
        "_target_": f"{__name__}.PlanSweeper",
        "max_batch_size": None,
        "params": None,
        "benchmark": None,
        "as_json": False,
    },
    provider="resnet_study",
)

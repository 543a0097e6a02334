"""Hydra sweeper that plans: it takes what the study's own sweeper takes, and starts nothing.

Hydra executes plugins in the order of their names, even those that are imported already. So this
one needs a name that sorts after that of the sweeper it extends.
"""

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.resnet_study_sweeper import SETTINGS, StudySweeper
from resnet_study.cli import register
from resnet_study.plan.place import place_of
from resnet_study.plan.plan import make_plan
from resnet_study.plan.text import as_json, as_text


class PlanSweeper(StudySweeper):
    """Prints what a sweep would take.

    Args:
        max_batch_size: Has no effect, as in `StudySweeper`.
        params: The experiment's grid.
        benchmark: The benchmark file to estimate from; null chooses one.
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
        task_function: TaskFunction,  # noqa: ARG002 - no task is run
        config: DictConfig,
    ) -> None:
        """Stores the config; makes no launcher, as none is used."""
        self.hydra_context = hydra_context
        self.config = config

    @property
    def _elsewhere(self) -> bool:
        return "array_parallelism" in self.config.hydra.launcher

    def sweep(self, arguments: list[str]) -> None:
        """Prints the plan."""
        launcher = self.config.hydra.launcher
        name = str(self.config.hydra.runtime.choices["hydra/launcher"])
        configs = self._configs(arguments)
        plan = make_plan(configs, place_of(name, launcher, configs), self.benchmark)
        print(as_json(plan) if self.as_json else as_text(plan))


_OWN = {"_target_": f"{__name__}.PlanSweeper", "benchmark": None, "as_json": False}
register("hydra/sweeper", "study_plan", SETTINGS | _OWN)

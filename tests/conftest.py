"""Fixtures shared by all tests: tiny runs that train in a second."""

from __future__ import annotations

import gc
import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib as mpl
import pytest

from resnet_study.config import CheckpointConfig, DataConfig, ModelConfig, RunConfig, ScheduleConfig

# Several test processes share the cores: threads that have nothing to do shall not spin there.
# Inherited by what the tests start.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

CHECKOUT = Path(__file__).resolve().parent.parent
FIXTURES = Path(__file__).resolve().parent / "fixtures"

mpl.use("agg")


@pytest.fixture(scope="session", autouse=True)
def _imported_once() -> Iterator[None]:
    """Takes torch's half a million objects out of what each run's garbage collection visits."""
    importlib.import_module("resnet_study.experiment")
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One data cache for the whole test session, so that shapes are drawn once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def varied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 training and 24 validation images of all kinds, in four classes."""
    from tests.pictures import make_folder

    root = tmp_path_factory.mktemp("varied")
    make_folder(root, 60, 24, largest=120, classes=4)
    return root


@pytest.fixture
def tiny(tmp_path: Path, cache: Path) -> Callable[..., RunConfig]:
    """Makes the description of a run of 12 iterations on 8×8 shapes."""

    def make(schedule: dict | None = None, **changes: object) -> RunConfig:
        defaults: dict = {
            "model": ModelConfig(depth=8, width=4),
            "data": DataConfig(name="shapes", resolution=8, train_images=200, cache=str(cache)),
            "schedule": ScheduleConfig(
                **{
                    "iterations": 12,
                    "batch_size": 16,
                    "milestones": (6, 9),
                    "eval_every": 6,
                    "log_every": 3,
                    "eval_train_images": 50,
                    **(schedule or {}),
                }
            ),
            "threads": 1,
            "runs_dir": str(tmp_path / "runs"),
        }
        return RunConfig(**(defaults | changes))

    return make


@pytest.fixture
def command(tmp_path: Path, cache: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `python -m MODULE ARGUMENTS` from the checkout, as a user would."""

    def call(*arguments: str, module: str = "resnet_study", tiny: bool = True):
        settings = (
            [
                "model.width=4",
                "data.resolution=8",
                "data.train_images=200",
                f"data.cache={cache}",
                "schedule.iterations=12",
                "schedule.batch_size=16",
                "schedule.milestones=[6,9]",
                "schedule.eval_every=6",
                "schedule.log_every=3",
                "schedule.eval_train_images=50",
                "schedule.warmup.iterations=null",
                f"runs_dir={tmp_path / 'runs'}",
            ]
            if module == "resnet_study" and tiny
            else []
        )
        # Hydra takes its flags before the overrides, not between them.
        flags = [word for word in arguments if word.startswith("-")] if settings else []
        rest = [word for word in arguments if word not in flags]
        return subprocess.run(
            [sys.executable, "-m", module, *flags, *settings, *rest],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return call


@pytest.fixture
def config(tiny):
    """A run of 40 iterations that saves its state after each second one."""

    def make(every: int = 2, **changes: object):
        return tiny(
            schedule={"iterations": 40, "milestones": (15, 30), "eval_every": 20},
            checkpoint=CheckpointConfig(every=every),
            **changes,
        )

    return make


@pytest.fixture
def undisturbed(config, tmp_path):
    from resnet_study.experiment import run

    return run(config(runs_dir=str(tmp_path / "undisturbed"))).folder

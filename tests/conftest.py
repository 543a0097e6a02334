"""Fixtures shared by all tests: tiny runs that train in a second, the command line in process."""

import gc
import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import matplotlib as mpl
import pytest

from resnet_study.config import CheckpointConfig, DataConfig, ModelConfig, RunConfig, ScheduleConfig

# Several test processes share the cores, so idle threads must not spin. Processes that tests start
# inherit this.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Under nohup, runs would ignore SIGHUP, which tests send them.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

CHECKOUT = Path(__file__).resolve().parent.parent
FIXTURES = Path(__file__).resolve().parent / "fixtures"
FSYNC = {"test_checkpoint", "test_disk", "test_faults", "test_runs"}

mpl.use("agg")

with suppress(ImportError):  # `pytest -m gpu` also runs where hypothesis is not installed.
    from hypothesis import HealthCheck, settings

    for _profile, _examples in (("fast", 10), ("full", 300)):
        settings.register_profile(
            _profile,
            deadline=None,
            max_examples=_examples,
            suppress_health_check=[HealthCheck.function_scoped_fixture],
        )
    settings.load_profile("fast")


@pytest.fixture(scope="session", autouse=True)
def _imported_once() -> Iterator[None]:
    """Excludes torch's half a million objects from the garbage collections of each run."""
    importlib.import_module("resnet_study.experiment")
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True, scope="module")
def _without_fsync(request: pytest.FixtureRequest) -> Iterator[None]:
    """Spares tests the wait for the disk, except those of files, faults and full disks."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.stem not in FSYNC:
            patch.setattr(os, "fsync", lambda _: None)
        yield


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


# What makes a run as short as `tiny`, by group.
SMALL: dict[str, dict] = {
    "model": {"width": 4},
    "data": {"resolution": 8, "train_images": 200},
    "schedule": {
        "iterations": 12,
        "batch_size": 16,
        "milestones": [6, 9],
        "eval_every": 6,
        "log_every": 3,
        "eval_train_images": 50,
    },
}
# The same for a command line.
TINY = (
    *(f"{group}.{name}={value}" for group in SMALL for name, value in SMALL[group].items()),
    *("schedule.learning_rate=0.05", "schedule.warmup.learning_rate=0.02"),
    *("schedule.warmup.start_rate=null", "schedule.warmup.iterations=null"),
)


def tiny_runs(cache: Path, runs_dir: Path) -> Callable[..., RunConfig]:
    """Makes descriptions of runs of 12 iterations on 8×8 shapes."""

    def make(schedule: dict | None = None, **changes: object) -> RunConfig:
        defaults: dict = {
            "model": ModelConfig(depth=8, **SMALL["model"]),
            "data": DataConfig(name="shapes", cache=str(cache), **SMALL["data"]),
            "schedule": ScheduleConfig(**(SMALL["schedule"] | (schedule or {}))),
            "threads": 1,
            "runs_dir": str(runs_dir),
        }
        return RunConfig(**(defaults | changes))

    return make


@pytest.fixture
def tiny(tmp_path: Path, cache: Path) -> Callable[..., RunConfig]:
    return tiny_runs(cache, tmp_path / "runs")


# A run that is long enough to be interrupted.
LONGER = {"iterations": 40, "milestones": (15, 30), "eval_every": 20}


@pytest.fixture
def config(tiny: Callable[..., RunConfig]) -> Callable[..., RunConfig]:
    """Makes descriptions of runs of 40 iterations that save their state after every second one."""
    return lambda every=2, **changes: tiny(LONGER, checkpoint=CheckpointConfig(every), **changes)


@pytest.fixture(scope="session")
def undisturbed(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run of `config` that nothing interrupted; only to be read."""
    from resnet_study.experiment import run

    make = tiny_runs(cache, tmp_path_factory.mktemp("undisturbed"))
    return run(make(LONGER, checkpoint=CheckpointConfig(every=2))).folder


@pytest.fixture
def typed(tmp_path: Path, cache: Path) -> Callable[..., list[str]]:
    """Builds a command line with the settings of a tiny run, or others, and the test's folders."""

    def call(*arguments: str, settings: Sequence[str] = TINY) -> list[str]:
        # Hydra takes its flags before the overrides, not between them.
        flags = [word for word in arguments if word.startswith("-")]
        rest = [word for word in arguments if word not in flags]
        keys = {word.lstrip("+~").partition("=")[0] for word in rest}
        defaults = (*settings, f"data.cache={cache}", f"runs_dir={tmp_path / 'runs'}")
        return [*flags, *(w for w in defaults if w.partition("=")[0] not in keys), *rest]

    return call


@pytest.fixture
def cli(typed, monkeypatch, capsys):
    """Runs a command line in this process: `cli("model.depth=8", "seed=1")`.

    The settings of a tiny run and the test's folders come before the arguments. A sweep also trains
    in this process (`hydra/launcher=basic`), unless it names a launcher.

    Args:
        arguments: As typed.
        module: What follows `python -m`.
        tiny: Whether to add settings, folders and launcher; only for `resnet_study` itself.
        settings: What to add in place of those of a tiny run.
    """

    def call(*arguments: str, module="resnet_study", tiny=True, settings=TINY):
        words = list(arguments)
        if module == "resnet_study" and tiny:
            words = typed(*arguments, settings=settings)
            if "-m" in words and not any("launcher" in word for word in words):
                words.append("hydra/launcher=basic")
        package = find_spec(module).submodule_search_locations
        main = importlib.import_module(f"{module}.__main__" if package else module).main
        monkeypatch.setattr(sys, "argv", [module, *words])
        capsys.readouterr()
        # Forgets the stop request of the last sweep: other processes have one sweep only.
        importlib.import_module("resnet_study.jobs").worker_stop.cache_clear()
        with pytest.raises(SystemExit) as ended:
            raise SystemExit(main())
        status = int(ended.value.code or 0)
        return subprocess.CompletedProcess(words, status, *capsys.readouterr())

    return call


@pytest.fixture
def command(typed) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Like `cli`, in a process of its own."""

    def call(*arguments: str, module="resnet_study", tiny=True, flags=()):
        words = typed(*arguments) if module == "resnet_study" and tiny else arguments
        line = [sys.executable, *flags, "-m", module, *words]
        return subprocess.run(line, cwd=CHECKOUT, capture_output=True, text=True, timeout=300)

    return call


@pytest.fixture(scope="session")
def composed() -> Callable[..., RunConfig]:
    """The run that overrides of the command line describe."""
    from hydra import compose, initialize_config_dir

    from resnet_study.cli import CONF, to_run_config

    def call(*overrides: str) -> RunConfig:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return to_run_config(compose("config", list(overrides)))

    return call


@pytest.fixture
def runs_of(cli, monkeypatch) -> Callable[..., list[RunConfig]]:
    """The distinct runs that a command line's sweep would train."""

    from hydra.core.plugins import Plugins

    from resnet_study.sweep import distinct

    Plugins.instance()  # Executes the plugins, once; only then is there something to patch.

    def call(*words: str) -> list[RunConfig]:
        jobs: list = []
        sweeper = sys.modules["hydra_plugins.resnet_study_sweeper"]
        monkeypatch.setattr(sweeper, "execute", lambda found, *_: jobs.extend(found))
        ended = cli(*words, tiny=False)
        assert ended.returncode == 0, ended.stderr
        return distinct(jobs)

    return call

"""Command line: from Hydra's config to a run and an exit status. Nothing below uses Hydra."""

import difflib
import functools
import io
import os
import re
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from resnet_study.config import RunConfig
from resnet_study.jobs import run_job
from resnet_study.system.command import command
from resnet_study.system.errors import (
    ConfigError,
    ImageError,
    ShortageError,
    StudyError,
    StudyWarning,
    say,
)
from resnet_study.system.interruption import Interrupted, NotDone
from resnet_study.training.world import World

# Seconds that a process waits for rank 0 to print what is wrong.
PATIENCE = 5.0
CONF = Path(__file__).resolve().parent.parent / "conf"


def to_run_config(composed: DictConfig) -> RunConfig:
    """The run that a composed Hydra config describes; nothing below sees Hydra.

    Raises:
        ConfigError: A value is missing or breaks a rule.
    """
    own = composed
    if "hydra" in composed:
        own = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
    try:
        values = OmegaConf.to_container(own, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or "config"
        raise ConfigError(key, "?", str(error).splitlines()[0]) from error
    assert isinstance(values, dict)
    for group in ("model", "data", "schedule"):
        if not values.get(group):
            raise ConfigError(group, None, f"must be one of the files in conf/{group}")
    if values.get("precision") == "auto":
        values["precision"] = _fastest_precision(str(values.get("device")))
    if values.get("batch_norm_parts") == "auto":
        world = World.here()
        values["batch_norm_parts"] = world.size
        if isinstance(batch_size := values["schedule"].get("batch_size"), int):
            # Before RunConfig checks it: its error would name a setting that nobody typed.
            world.check(batch_size, world.size)
    return RunConfig.from_mapping(values)  # type: ignore[arg-type]


@functools.cache
def _fastest_precision(device: str) -> str:
    """The precision that `precision=auto` stands for on this machine."""
    from resnet_study.system import machine

    return machine.fastest_precision(machine.choose_device(device))


def fail(error: StudyError) -> NoReturn:
    """Ends the process with the error in one line and status 2."""
    if World.here().first or isinstance(error, ImageError | ShortageError):
        say(f"error: {error}")
    else:
        # Torchrun ends all processes as soon as one has failed; rank 0 must have printed by then.
        time.sleep(PATIENCE)
    # Hydra turns exceptions into tracebacks, but lets this one pass.
    raise SystemExit(2)


def _run_alone(config: RunConfig) -> None:
    """Trains a run that is not part of a sweep, and shows its progress.

    Raises:
        StudyError: The run cannot be trained.
    """
    from resnet_study.experiment import run
    from resnet_study.progress import Reporter, RunReporter

    if HydraConfig.get().runtime.choices.get("hydra/launcher") == "slurm":
        raise ConfigError("hydra/launcher", "slurm", "launches sweeps, even of one run; add -m")
    first = World.here().first
    reporter = RunReporter() if first else Reporter()
    try:
        record = run(config, reporter)
    except Interrupted as request:
        reporter.close()
        if first:
            saved = f"iteration {request.iteration} of {request.total} is saved"
            say(
                f"interrupted: {saved if request.iteration else 'nothing is trained yet'}; "
                "type the same command again to continue"
            )
        raise SystemExit(128 + request.signal_number) from None
    finally:
        reporter.close()
    if first:
        print(f"{record.state}: {record.folder}")


def register(group: str, name: str, node: Any) -> None:
    """Adds a config to Hydra's store unless it is there: Hydra executes plugins repeatedly."""
    store = ConfigStore.instance()
    if f"{name}.yaml" not in store.list(group):
        store.store(group=group, name=name, node=node, provider="resnet_study")


def as_result(outcome: JobReturn | Exception) -> JobReturn:
    """A job's outcome as Hydra's launchers return it: its result, or the error that ended it."""
    if isinstance(outcome, JobReturn):
        return outcome
    result = JobReturn(status=JobStatus.FAILED)
    result.return_value = outcome
    return result


def error_of(result: JobReturn) -> Exception | None:
    """The error that ended a job; None if it finished."""
    try:
        # Hydra prints that there was an error; the sweep reports it in its own words.
        with redirect_stderr(io.StringIO()):
            result.return_value  # noqa: B018 - raises the job's error
    except Exception as error:  # noqa: BLE001 - a job may raise anything
        return error
    return None


def task(composed: DictConfig) -> float | None:
    """Trains one run, alone or as a job of a sweep."""
    show_warnings()
    hydra_config = HydraConfig.get()
    if hydra_config.job.chdir:
        fail(ConfigError("hydra.job.chdir", True, "must be false: paths start from one folder"))
    # An experiment's file may have set Hydra's mode to a sweep; jobs do not read that file.
    handed = composed.get("run_config")
    if handed is None and hydra_config.mode != RunMode.MULTIRUN:
        try:
            _run_alone(to_run_config(composed))
        except StudyError as error:
            fail(error)
        return None
    sweeper = str(hydra_config.runtime.choices.get("hydra/sweeper"))
    return run_job(handed or to_run_config(composed), sweeper)


def show_warnings() -> None:
    """Makes Python show each warning in one line."""
    warnings.showwarning = _show_warning  # type: ignore[assignment]


def _show_warning(message: Warning | str, category: type[Warning], *_: Any) -> None:
    """Shows a warning, with its category unless it is the study's own."""
    kind = "" if issubclass(category, StudyWarning) else f"{category.__name__}: "
    say(f"warning: {kind}{' '.join(str(message).split())}")


@command
def main(carry_out: Callable[[DictConfig], Any] = task) -> None:
    """Entry point; reads the command line.

    Args:
        carry_out: What to do with the config of a run that is not part of a sweep.
    """
    show_warnings()
    if not CONF.is_dir():
        told = "is missing; install resnet_study from its checkout: pip install -e ."
        fail(StudyError("conf", CONF, told))
    # launcher= is short for hydra/launcher=. Shells do not expand a `~` after a `=`.
    words = [re.sub("^launcher=", "hydra/launcher=", word) for word in sys.argv[1:]]
    sys.argv[1:] = [re.sub("(?<=[=,])~(?=/)", lambda _: str(Path.home()), word) for word in words]
    # Hydra 1.4 warns about version_base.
    base = {"version_base": "1.3"} if hydra.__version__.startswith("1.3") else {}
    application = hydra.main(config_path=str(CONF), config_name="config", **base)(carry_out)
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        application()
        return
    # Hydra reports most errors in a few lines, but some as a traceback. With this variable it
    # raises them all, and they are reported here in its words and with its status.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        application()
    except (KeyboardInterrupt, NotDone) as error:
        say("interrupted; type the same command again to continue")
        number = error.signal_number if isinstance(error, NotDone) else None
        raise SystemExit(128 + (number or signal.SIGINT)) from None
    except StudyError as error:
        fail(error)
    except Exception as error:
        if isinstance(error, BrokenPipeError) or _is_ours(error):
            raise
        _reject(error)
    finally:
        del os.environ["HYDRA_FULL_ERROR"]


def _reject(error: Exception) -> NoReturn:
    """Ends the process as Hydra does, with its message and status 1."""
    if "hydra/launcher/study_slurm" in str(error):
        # The optional extra provides that file.
        fail(StudyError("hydra/launcher", "slurm", "needs the extra: pip install -e '.[slurm]'"))
    if told := _in_one_line(error):
        fail(told)
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else None
    for part in filter(None, (error, cause)):
        say(str(part))
    raise SystemExit(1)


def _in_one_line(error: Exception) -> StudyError | None:
    """The error in one line if an argument is wrong; None for other errors."""
    if isinstance(error, OverrideParseException):
        key, _, value = error.override.partition("=")
        advice = f"put a text in quotes: '{key}=\"{value}\"'" if value else "must be KEY=VALUE"
        return StudyError(key, value, f"cannot be read; {advice}")
    if isinstance(error, MissingConfigException) and error.options:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        near = difflib.get_close_matches(name, error.options, 1)
        rule = f"did you mean {near[0]}?" if near else f"must be one of {', '.join(error.options)}"
        return StudyError(group, name, rule)
    return None


def _is_ours(error: Exception) -> bool:
    """Whether an error was raised in this project, below the entry point: then it is a defect."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    return any(Path(f.filename).parent.is_relative_to(CONF.parent / "resnet_study") for f in frames)

"""Command line: `python -m resnet_study`. Hydra ends here."""

from __future__ import annotations

import csv
import functools
import io
import math
import multiprocessing
import os
import re
import signal
import sys
import threading
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
from hydra.errors import CompactHydraException, HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from resnet_study.config import RunConfig
from resnet_study.store.folder import RunFolder
from resnet_study.sweep import handed_down
from resnet_study.system.errors import (
    ConfigError,
    ImageError,
    StudyError,
    StudyWarning,
    reader_has_left,
)
from resnet_study.system.interruption import Interrupted, NotDone, StopRequest, leave_with_parent
from resnet_study.training.world import World

_BUSY = threading.Lock()
# Seconds that a process waits for the first one to say what is wrong.
PATIENCE = 5.0
CONF = Path(__file__).resolve().parent.parent / "conf"


def to_run_config(composed: DictConfig) -> RunConfig:
    """The run that a composed Hydra config describes; below, nothing sees Hydra.

    Raises:
        ConfigError: A value is missing or not allowed.
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
            raise ConfigError(group, None, f"allowed is one of the files in conf/{group}")
    if values.get("precision") == "auto":
        values["precision"] = _fastest_precision(str(values.get("device")))
    if values.get("batch_norm_parts") == "auto":
        values["batch_norm_parts"] = World.here().size
        if isinstance(batch_size := values["schedule"].get("batch_size"), int):
            # In the terms of what was typed, before anything is said of parts.
            World.here().check(batch_size, values["batch_norm_parts"])
    return RunConfig.from_mapping(values)  # type: ignore[arg-type]


@functools.cache
def _fastest_precision(device: str) -> str:
    """What "auto" stands for here: the description of a run names a precision."""
    from resnet_study.system import machine

    return machine.fastest_precision(machine.choose_device(device))


def fail(error: StudyError) -> NoReturn:
    """Ends the process with the error's one line and status 2."""
    if World.here().first or isinstance(error, ImageError):
        print(f"error: {error}", file=sys.stderr, flush=True)
    else:
        # torchrun ends all as soon as one has failed: the first shall have spoken by then.
        time.sleep(PATIENCE)
    # Hydra turns exceptions into tracebacks, but lets this one pass.
    raise SystemExit(2)


def _check_no_launcher() -> None:
    """Finds out whether a launcher was asked for, of which a single run makes no use.

    Raises:
        ConfigError: One was: without `-m` the run would be trained here and now.
    """
    if HydraConfig.get().runtime.choices.get("hydra/launcher") == "slurm":
        raise ConfigError("hydra/launcher", "slurm", "takes a sweep, of one run or more: add -m")


def _run_alone(config: RunConfig) -> None:
    from resnet_study.experiment import run
    from resnet_study.progress import Reporter, RunReporter

    first = World.here().first
    reporter = RunReporter() if first else Reporter()
    try:
        record = run(config, reporter)
    except Interrupted as request:
        reporter.close()
        if first:
            saved = f"iteration {request.iteration} of {request.total} is saved"
            print(
                f"interrupted: {saved if request.iteration else 'nothing is trained yet'}; "
                "the same command goes on",
                file=sys.stderr,
            )
        raise SystemExit(128 + request.signal_number) from None
    finally:
        reporter.close()
    if first:
        print(f"{record.state}: {record.folder}")


def _run_as_job(config: RunConfig) -> float:
    """Runs a job of a sweep.

    Args:
        config: The run's description.

    Returns:
        What a sweeper minimises: the last error on held-out images, or on the test set where
        none are held out, in percent; infinity for a run that diverged.

    Raises:
        NotDone: The job was stopped.
        StudyError: The run cannot be carried out.
        RuntimeError: It failed; its folder has the traceback.
    """
    from resnet_study.experiment import run

    stop = _worker_stop()
    if stop.requested:
        raise NotDone(stop.signal_number or signal.SIGTERM)
    try:
        with _BUSY:
            record = run(config, stop=stop)
    except Interrupted as request:
        raise NotDone(request.signal_number or signal.SIGTERM) from None
    except StudyError:
        raise
    except Exception as error:
        # One that travels between processes, whatever the cause holds.
        raise RuntimeError(f"{type(error).__name__}: {error}") from error
    if record.state != "finished":
        return math.inf
    sweeper = str(HydraConfig.get().runtime.choices.get("hydra/sweeper"))
    if not config.data.validation_images:
        _warn_of_test_errors(sweeper)
    rows = list(csv.DictReader(RunFolder(record.folder).read_metrics().splitlines()))
    return float(rows[-1]["test_error"])


@functools.cache
def _warn_of_test_errors(sweeper: str) -> None:
    """Warns, once, where a sweeper optimises what must not be optimised."""
    if sweeper not in ("study", "basic"):
        text = "the sweeper is told test errors: hold images out, data.validation_images=5000"
        warnings.warn(StudyWarning(text), stacklevel=2)


def register(group: str, name: str, node: Any) -> None:
    """Adds a config to Hydra's, once: its scan executes plugins again and again."""
    store = ConfigStore.instance()
    if f"{name}.yaml" not in store.list(group):
        store.store(group=group, name=name, node=node, provider="resnet_study")


def as_result(outcome: JobReturn | Exception) -> JobReturn:
    """What Hydra is told of a job that has a result, or has ended with an error without one."""
    if isinstance(outcome, JobReturn):
        return outcome
    result = JobReturn(status=JobStatus.FAILED)
    result.return_value = outcome
    return result


def error_of(result: JobReturn) -> Exception | None:
    """What a job has raised; None where it came to its end."""
    try:
        # Hydra prints that there was an error; the sweep says it in its own words.
        with redirect_stderr(io.StringIO()):
            result.return_value  # noqa: B018 - raises what the job has raised
    except Exception as error:  # noqa: BLE001 - whatever a job raises
        return error
    return None


def start_processes_as_elsewhere() -> None:
    """Gives a worker of joblib the system's way of starting processes back.

    loky puts its own in place, with which a DataLoader's processes fail ("'Process' object has
    no attribute 'env'"), and those of a context named "spawn" too.
    """
    if multiprocessing.get_start_method(allow_none=True) == "loky":
        multiprocessing.set_start_method(None, force=True)


@functools.cache
def _worker_stop() -> StopRequest:
    """One request for all jobs of this process: asked to stop, it takes no further job.

    A launcher that runs jobs in the sweep's own process shares the sweep's request.
    """
    if StopRequest.active is not None:
        return StopRequest.active
    stop = StopRequest(worker=True).__enter__()
    leave_with_parent(stop, _BUSY)
    return stop


def task(composed: DictConfig) -> float | None:
    """One run, alone or as a job of a sweep."""
    show_warnings()
    hydra_config = HydraConfig.get()
    if hydra_config.job.chdir:
        fail(ConfigError("hydra.job.chdir", True, "must be false: paths start from one folder"))
    # An experiment's file may have said that this is a sweep; its jobs do not read that file.
    handed = composed.get("run_config")
    if handed is None and hydra_config.mode != RunMode.MULTIRUN:
        try:
            _check_no_launcher()
            _run_alone(to_run_config(composed))
        except StudyError as error:
            fail(error)
        return None
    _worker_stop()
    start_processes_as_elsewhere()
    if handed is not None:
        folder, config = handed_down(handed)
        if Path.cwd() != folder:
            os.chdir(folder)
        return _run_as_job(config)
    return _run_as_job(to_run_config(composed))


def show_warnings() -> None:
    """Has warnings shown in one line each."""
    warnings.showwarning = _show_warning  # type: ignore[assignment]


def _show_warning(message: Warning | str, category: type[Warning], *_: Any) -> None:
    """A warning of ours is one line; of others' it is shown with its category."""
    kind = "" if issubclass(category, StudyWarning) else f"{category.__name__}: "
    print(f"warning: {kind}{' '.join(str(message).split())}", file=sys.stderr)


def main(carry_out: Callable[[DictConfig], Any] = task) -> None:
    """Entry point; reads the command line.

    Args:
        carry_out: What is done with the config of a run that is not part of a sweep.
    """
    if not CONF.is_dir():
        fail(
            StudyError(
                "conf", CONF, "is not there; resnet_study is used from its checkout, "
                "installed with pip install -e ."
            )
        )  # fmt: skip
    # As the plan of the same command has it.
    sys.argv[1:] = [re.sub("^launcher=", "hydra/launcher=", word) for word in sys.argv[1:]]
    # Hydra 1.4 has one behaviour and warns of being told which.
    base = {"version_base": "1.3"} if hydra.__version__.startswith("1.3") else {}
    application = hydra.main(config_path=str(CONF), config_name="config", **base)(carry_out)
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        application()
        return
    # Hydra reports most of what it rejects in a few lines, but some of it as a traceback.
    # Handed the exception, we report all of it in Hydra's words and with its status.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        application()
    except (KeyboardInterrupt, NotDone) as error:
        print("interrupted; the same command goes on", file=sys.stderr)
        number = error.signal_number if isinstance(error, NotDone) else None
        raise SystemExit(128 + (number or signal.SIGINT)) from None
    except StudyError as error:
        fail(error)
    except BrokenPipeError:
        reader_has_left()
    except (HydraException, CompactHydraException) as error:
        _reject(error)
    except Exception as error:
        if _is_ours(error):
            raise
        _reject(error)
    finally:
        del os.environ["HYDRA_FULL_ERROR"]


def _reject(error: Exception) -> NoReturn:
    """Ends the process as Hydra does, with its message and status 1."""
    if "hydra/launcher/study_slurm" in str(error):
        # Which the extra would have put there.
        fail(StudyError("hydra/launcher", "slurm", "needs the extra: pip install -e '.[slurm]'"))
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else None
    for part in filter(None, (error, cause)):
        print(part, file=sys.stderr)
    raise SystemExit(1)


def _is_ours(error: Exception) -> bool:
    """Whether code of this project was at work below the entry point: then it is a defect."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    return any(Path(f.filename).parent.is_relative_to(CONF.parent / "resnet_study") for f in frames)

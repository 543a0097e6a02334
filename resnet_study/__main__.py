"""Command line: `python -m resnet_study`. Hydra ends here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from resnet_study.config import RunConfig
from resnet_study.errors import ConfigError, StudyError

CONF = Path(__file__).resolve().parent.parent / "conf"


def to_run_config(composed: DictConfig) -> RunConfig:
    """The run that a composed Hydra config describes; below, nothing sees Hydra.

    Raises:
        ConfigError: A value is missing or not allowed.
    """
    own = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
    try:
        values = OmegaConf.to_container(own, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None) or "config"
        raise ConfigError(key, "?", str(error).splitlines()[0]) from error
    assert isinstance(values, dict)
    return RunConfig.from_mapping(values)  # type: ignore[arg-type]


def fail(error: StudyError) -> None:
    """Ends the process with the error's one line and status 2."""
    print(f"error: {error}", file=sys.stderr)
    # Hydra turns exceptions into tracebacks, but lets this one pass.
    raise SystemExit(2)


def _run_alone(config: RunConfig) -> None:
    from resnet_study.experiment import run
    from resnet_study.progress import RunReporter

    reporter = RunReporter()
    try:
        record = run(config, reporter)
    finally:
        reporter.close()
    print(f"{record.state}: {record.folder}")


def _run_as_job(config: RunConfig) -> str:
    from resnet_study.experiment import run

    try:
        return run(config, wait=False).state
    except Exception:  # noqa: BLE001 - recorded in the run's folder; the others go on
        return "failed"


def task(composed: DictConfig) -> Any:
    """One run, alone or as a job of a sweep."""
    try:
        config = to_run_config(composed)
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            return _run_as_job(config)
        return _run_alone(config)
    except StudyError as error:
        return fail(error)


def main() -> None:
    """Entry point; reads the command line."""
    if not CONF.is_dir():
        fail(
            StudyError(
                "conf", CONF, "is not there; resnet_study is used from its checkout, "
                "installed with pip install -e ."
            )
        )  # fmt: skip
    hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")(task)()


if __name__ == "__main__":
    # Worker processes unpickle `task` by its module's name, which must not be "__main__".
    from resnet_study.__main__ import main as importable_main

    importable_main()

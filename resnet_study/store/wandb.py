"""Metrics as a run of Weights & Biases besides metrics.csv (the extra `wandb`)."""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from resnet_study.config import RunConfig
from resnet_study.store.folder import METRICS
from resnet_study.system.errors import ConfigError, warn
from resnet_study.training.events import Row


class WandbLog:
    """Sends rows of metrics to W&B, online or offline as W&B is set up.

    W&B drops steps that do not grow, so only rows that it lacks are sent. Its server knows which
    those are; offline, W&B's files in the run's folder tell, as W&B loses the rows of the last
    seconds of a process that is killed.

    Args:
        config: The run.
        folder: The run's folder.
        manifest: Keeps W&B's id of the run in `wandb_id`, under which W&B resumes it.

    Raises:
        ConfigError: W&B cannot be reached, or knows no user.
    """

    def __init__(self, config: RunConfig, folder: Path, manifest: dict[str, Any]) -> None:
        import wandb

        # Seeds of the same network are a group, whose mean and range W&B draws.
        cell = replace(config, seed=0).run_id.replace("-s0-", "-")
        network = {"family": config.model.family, "depth": config.model.depth}
        with _reported("run wandb login, or set WANDB_MODE=offline"):
            self._run = run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", "resnet_study"),
                name=config.run_id,
                group=f"{config.experiment_name}-{cell}".replace("/", "-"),
                config=config.to_mapping() | network,
                id=manifest.get("wandb_id"),
                resume="allow",
                # W&B's active run, as a notebook may have one, stays active.
                reinit="create_new",
                dir=folder,
                settings=wandb.Settings(console="off", quiet=True),
            )
        with _reported("type the same command again to resume the run"), ExitStack() as failed:
            failed.callback(run.finish, exit_code=1)
            run.define_metric("*", step_metric="iteration")
            self._sent = _last_iteration(folder, run.id) if run.offline else run.step - 1
            failed.pop_all()
        manifest["wandb_id"] = run.id

    def append(self, row: Row) -> None:
        """Sends a row, unless W&B has it."""
        if row.iteration <= self._sent:
            return
        values = {name: value for name in METRICS if (value := getattr(row, name)) is not None}
        with _reported("type the same command again to resume the run"):
            # Without commit W&B would hold the row back until the next one.
            self._run.log(values, step=row.iteration, commit=True)

    def close(self, complete: bool) -> None:
        """Sends what is left; W&B calls a run that is not complete failed."""
        try:
            self._run.finish(exit_code=0 if complete else 1)
        except Exception as error:  # noqa: BLE001 - a run does not fail for what W&B has not sent
            warn(f"logger=wandb: W&B stopped ({error}); type the same command again, or wandb sync")


@contextmanager
def _reported(advice: str) -> Iterator[None]:
    """Reports W&B's errors in one line, including those of its own process as it dies."""
    try:
        yield
    except Exception as error:
        raise ConfigError("logger", "wandb", f"W&B stopped ({error}); {advice}") from error


def _last_iteration(folder: Path, wandb_id: str) -> int:
    """The iteration of the last row in W&B's files of a run; 0 where they hold none.

    The files consist of blocks of 32 KiB that begin with a header of 7 bytes. In them `_step` is
    followed by a protocol buffer's tag, the length of a number, and the number as text.
    """
    last = 0
    for file in folder.glob(f"wandb/*-{wandb_id}/run-{wandb_id}.wandb"):
        content = file.read_bytes()
        blocks = (content[at + 7 : at + 32_768] for at in range(0, len(content), 32_768))
        for length, text in re.findall(rb"(?s)_step\x82\x01(.)([0-9]+)", b"".join(blocks)):
            last = max(last, int(text[: length[0]]))
    return last

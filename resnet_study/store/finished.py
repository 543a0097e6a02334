"""Whether a finished run is what is now asked for."""

from __future__ import annotations

from pathlib import Path

from resnet_study.config import RunConfig
from resnet_study.data import open_dataset
from resnet_study.store.folder import RunFolder, RunRecord
from resnet_study.store.journal import check_probes
from resnet_study.store.logs import ProbeLog
from resnet_study.system.errors import ConfigError, DataError


def check_finished(config: RunConfig) -> None:
    """Finds out whether a finished run is what is now asked for: its probes and its images.

    An image folder is known by its title, so another folder of the same title would find
    the finished runs of the first. Where the path differs, the images are compared.

    Raises:
        ConfigError: It was trained without the probes, or not evaluated in these views.
        DataError: The images are others.
    """
    folder = RunFolder.of(config)
    record = folder.completed()
    if record is not None and record.state == "finished":
        end = config.schedule.iterations
        if config.schedule.plateau.stop_early and (row := folder.last_row()):
            end = int(row["iteration"]) if row["iteration"].isdigit() else end
        check_probes(config, folder, ProbeLog(folder.probes_file, end), end)
        _check_views(config, record)
    if record is None or not config.data.in_folder:
        return
    former = folder.read_config().data.root
    if former is not None and Path(former).resolve() == Path(config.data.root or "").resolve():
        return
    made_with = record.manifest.get("data", {}).get("fingerprint")
    if open_dataset(config.data).fingerprint() != made_with:
        allowed = (
            f"{record.folder} was made with other images of the same name, from {former}; "
            "allowed is a data.label, or experiment_name, of its own"
        )
        raise DataError("data.root", config.data.root, allowed)


def _check_views(config: RunConfig, record: RunRecord) -> None:
    """Finds out whether a finished run was evaluated in the views that are asked for.

    Raises:
        ConfigError: It was not.
    """
    views = config.data.stream.views
    if config.data.streamed and set(views) - set(record.manifest.get("evaluation") or {}):
        allowed = (
            f"{record.folder} was evaluated in others; python -m resnet_study.evaluate "
            f"weights={record.folder / 'checkpoint.pt'} --record adds these"
        )
        raise ConfigError("data.stream.views", list(views), allowed)

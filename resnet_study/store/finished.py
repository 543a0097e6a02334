"""Whether a finished run is the one asked for."""

from pathlib import Path

from resnet_study.config import RunConfig
from resnet_study.data import open_dataset
from resnet_study.store.folder import RunFolder, RunRecord
from resnet_study.store.journal import check_probes
from resnet_study.store.tables import ProbesTable
from resnet_study.system.errors import ConfigError, DataError


def check_finished(config: RunConfig) -> None:
    """Checks that a finished run has the probes, views and images that are asked for.

    An image folder is known by its title, so the finished runs of another folder with the same
    title would be found. Where the path differs, the images are compared.

    Raises:
        ConfigError: The run was trained without the probes, or not evaluated in these views.
        DataError: It was trained on other images.
    """
    folder = RunFolder.of(config)
    record = folder.completed()
    if record is not None and record.state == "finished":
        end = config.schedule.iterations
        if config.schedule.plateau.stop_early:
            end = folder.last_iteration() or end
        check_probes(config, folder, ProbesTable(folder.probes_file, end), end)
        _check_views(config, record)
    if record is None or not config.data.in_folder:
        return
    former = folder.read_config().data.root
    if former is not None and Path(former).resolve() == Path(config.data.root or "").resolve():
        return
    made_with = record.manifest.get("data", {}).get("fingerprint")
    if open_dataset(config.data).fingerprint() != made_with:
        allowed = (
            f"{record.folder} was made with other images of the same name, from {former}; set "
            "another data.label or experiment_name"
        )
        raise DataError("data.root", config.data.root, allowed)


def _check_views(config: RunConfig, record: RunRecord) -> None:
    views = config.data.stream.views
    if config.data.streamed and set(views) - set(record.manifest.get("evaluation") or {}):
        allowed = (
            f"{record.folder} was evaluated in other views; python -m resnet_study.evaluate "
            f"weights={record.folder / 'checkpoint.pt'} --record adds these"
        )
        raise ConfigError("data.stream.views", list(views), allowed)

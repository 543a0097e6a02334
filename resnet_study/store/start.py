"""Starting a run from another run's trained weights, deepened if that run was shallower."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from resnet_study.config import RunConfig
from resnet_study.models.deepen import deepen
from resnet_study.store.folder import RunFolder
from resnet_study.system.errors import ConfigError
from resnet_study.training.checkpoint import read
from resnet_study.training.trainer import Trainer


def start_folder(config: RunConfig) -> RunFolder | None:
    """The folder of the run whose weights this one starts from; None for initial weights."""
    if (shallower := config.shallower()) is not None:
        return RunFolder.of(shallower)
    if config.start.run is None:
        return None
    named = Path(config.start.run)
    return RunFolder(named if named.is_dir() else RunFolder.of(config).path.parent / named)


def check_start(config: RunConfig) -> None:
    """Checks that a run can start from the run that `start.run` names.

    A run that has a checkpoint of its own does not need its start any more.

    Raises:
        ConfigError: That run is missing, unfinished, or of another network.
    """
    if config.start.run is not None and not RunFolder.of(config).checkpoint_file.exists():
        _source(config)


def _source(config: RunConfig) -> tuple[RunFolder, RunConfig]:
    folder = start_folder(config)
    assert folder is not None
    field = "start.run" if config.start.run is not None else "start.depth"
    value = getattr(config.start, field.rpartition(".")[2])
    if (state := folder.state()) != "finished":
        why = "has not begun" if state is None else f"is {state}"
        raise ConfigError(field, value, f"{folder.path} {why}; it must be finished")
    source = folder.read_config()
    if source.run_id != folder.path.name:
        # In this run's id, the folder's name stands for the weights.
        why = f"is not named {source.run_id}, its run's id; rename the folder"
    elif replace(source.model, depth=config.model.depth) != config.model:
        why = "is of another network; it may differ in depth only"
    elif source.model.depth > config.model.depth:
        why = f"has {source.model.depth} layers, more than this run"
    elif not folder.checkpoint_file.exists():
        why = "has no checkpoint; delete the folder and train that run again"
    else:
        return folder, source
    raise ConfigError(field, value, f"{folder.path} {why}")


def put_start(trainer: Trainer) -> dict[str, Any] | None:
    """Puts the weights that a run starts from into its network; all processes call this together.

    Args:
        trainer: Its network has initial weights, which are replaced in place.

    Returns:
        For the manifest, the run that they are from and its iterations; None where the run
        keeps its initial weights.

    Raises:
        ConfigError: The weights are missing, or do not fit.
        CheckpointError: Their file is damaged.
    """
    session, network = trainer.session, trainer.network
    config = session.config
    if start_folder(config) is None:
        return None
    folder, source = _source(config)
    saved = read(folder.checkpoint_file)
    try:
        if source.model.depth == config.model.depth:
            network.load_state_dict(saved.network)
        else:
            shallow = session.build(in_parts=True, depth=source.model.depth)
            shallow.load_state_dict(saved.network)
            images = session.augmented(trainer.batches())
            with session.enough_memory():
                deepen(shallow, network, images, session.world.average)
    except (RuntimeError, ValueError) as error:
        short = str(error).strip().splitlines()[-1].strip()
        raise ConfigError("start", folder.path, f"its weights do not fit ({short})") from error
    return {"run": folder.path.name, "iteration": saved.state["iteration"]}

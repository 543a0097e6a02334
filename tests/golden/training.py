"""Trains the golden runs in this process; `make.py` stores what they find, tests compare it."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir
from PIL import Image

from resnet_study.cli import CONF, to_run_config
from resnet_study.config import AugmentConfig, RunConfig, StreamConfig
from resnet_study.data import batches, shapes, streamed
from resnet_study.evaluate import read_weights, score
from resnet_study.experiment import run
from resnet_study.store.folder import RunFolder
from tests.comparison import interrupted_at
from tests.golden.descriptions import GOLDEN

HERE = Path(__file__).resolve().parent
IDS, DEFAULTS, NUMBERS = HERE / "run_ids.jsonl", HERE / "defaults.json", HERE / "numbers.json"
INTERRUPTED = HERE / "interrupted"
# Of 200 images: in the middle of the first epoch.
STOPPED_AT = 4

Curve = list[dict[str, str]]


def described(name: str, folder: Path, cache: Path) -> RunConfig:
    """The description of a golden run that is kept in a folder."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return moved(to_run_config(compose("config", list(GOLDEN[name]))), folder, cache)


def moved(config: RunConfig, folder: Path, cache: Path) -> RunConfig:
    """The same run, kept in a folder, and its data, too."""
    root = config.data.root and str(folder / config.data.root)
    data = replace(config.data, root=root, cache=str(cache))
    return replace(config, data=data, runs_dir=str(folder / "runs"))


def make_pictures(root: Path) -> None:
    """Makes a folder of 84 figures, each pixel enlarged, in a format without loss.

    What becomes of a JPEG depends on the version of its codec.
    """
    found = shapes.generate(150, 60)
    for part, count, images, labels in (
        ("train", 60, found.train_images, found.train_labels),
        ("val", 24, found.test_images, found.test_labels),
    ):
        for number, index in enumerate(np.flatnonzero(labels < 4)[:count]):
            folder = root / part / str(labels[index])
            folder.mkdir(parents=True, exist_ok=True)
            pixels = images[index].repeat(2 + number % 3, 1).repeat(2 + number % 4, 2)
            Image.fromarray(pixels.transpose(1, 2, 0)).save(folder / f"{number:02d}.png")


def trained(config: RunConfig, name: str) -> Path:
    """Trains a golden run as its name says; returns its folder."""
    if name == "resumed":
        interrupted_at(config, STOPPED_AT)
    if name == "processes":
        from tests.resnet_study.training.test_world import in_processes

        in_processes(2, run, config)
        return RunFolder.of(config).path
    return run(config).folder


def started_from(folder: Path, config: RunConfig) -> Path:
    """A deeper run that starts from an unfinished run's weights; returns its folder."""
    source = RunFolder(folder)
    # Only a finished run may be started from; weights are read alike.
    source.write_manifest({**(source.read_manifest() or {}), "state": "finished"})
    model, start = replace(config.model, depth=14), replace(config.start, run=str(folder))
    return run(replace(config, model=model, start=start)).folder


def evaluated(folder: Path, config: RunConfig) -> dict[str, Any]:
    """What the weights of a run's checkpoint score."""
    _, scores = score(config, read_weights(folder / "checkpoint.pt"))
    return {view: asdict(found) for view, found in scores.items()}


def draws() -> dict[str, list[list[Any]]]:
    """The draws of an epoch, of images in memory and of a streamed folder."""
    augment = AugmentConfig(padding=4, colour=0.1)
    memory = batches.draw_epoch(5, 3, 12, augment)
    read = streamed.draw_epoch(5, 3, 12, StreamConfig(), augment)
    return {
        "memory": [drawn.tolist() for drawn in memory],
        "streamed": [drawn.tolist() for drawn in read],
    }


def merged(defaults: dict[str, Any], changed: dict[str, Any]) -> dict[str, Any]:
    """Nested settings, of which some are changed."""
    return defaults | {
        key: merged(defaults.get(key) or {}, value) if isinstance(value, dict) else value
        for key, value in changed.items()
    }

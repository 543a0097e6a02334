"""Every file in conf/ composes, describes a run, and names the command that uses it."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser

from resnet_study.__main__ import CONF, to_run_config
from resnet_study.config import DataConfig, RunConfig, ScheduleConfig

FILES = sorted(path for group in ("model", "data", "schedule") for path in (CONF / group).iterdir())
EXPERIMENTS = sorted((CONF / "experiment").iterdir())


def composed(*overrides: str) -> RunConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return to_run_config(compose("config", list(overrides)))


@pytest.mark.parametrize("file", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_each_group_file_composes(file: Path):
    root = ["data.root=somewhere"] if file.stem == "image_folder" else []
    config = composed(f"{file.parent.name}={file.stem}", *root)
    values = config.to_mapping()[file.parent.name]
    written = yaml.safe_load(file.read_text())
    assert set(written) == set(values), "a setting is missing from the file, or unknown"
    if not root:
        assert values == written


@pytest.mark.parametrize("file", EXPERIMENTS, ids=lambda path: path.stem)
def test_each_run_of_each_experiment_is_valid(file: Path):
    values = yaml.safe_load(file.read_text())
    params = values["hydra"]["sweeper"]["params"]
    choices = []
    for key, value in params.items():
        override = OverridesParser.create().parse_override(f"{key}={value}")
        swept = override.sweep_string_iterator() if override.is_sweep_override() else [value]
        choices.append([f"{key}={choice}" for choice in swept])
    runs = {composed(f"experiment={file.stem}", *point).run_id for point in product(*choices)}
    assert len(runs) >= 15


@pytest.mark.parametrize("file", EXPERIMENTS, ids=lambda path: path.stem)
def test_each_experiment_begins_with_its_command(file: Path):
    # Hydra reads its package directive from the first line only.
    directive, command = file.read_text().splitlines()[:2]
    assert directive == "# @package _global_"
    assert command == f"# python -m resnet_study experiment={file.stem}"


def test_no_config_names_code():
    texts = [path.read_text() for path in CONF.rglob("*.yaml")]
    assert len(texts) >= 10
    assert not any("_target_" in text for text in texts)


def test_the_paper_schedule_is_the_default_description():
    assert composed("schedule=paper", "data=cifar10").schedule == ScheduleConfig()
    assert composed("schedule=paper", "data=cifar10").run_id == RunConfig().run_id


def test_the_command_line_wins_over_the_experiment():
    config = composed("experiment=quick", "data=image_folder", "data.root=photos", "schedule=paper")
    assert config.data == DataConfig(
        name="image_folder", root="photos", resolution=16, augment=config.data.augment
    )
    assert config.schedule.iterations == 64_000
    assert config.experiment_name == "quick"

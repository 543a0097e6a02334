"""Which loggers a run has, and that those there are can be had."""

from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from resnet_study.config import RunConfig
from resnet_study.experiment import run
from resnet_study.store.folder import RunFolder
from resnet_study.store.loggers import check_loggers
from resnet_study.system.errors import ConfigError


@pytest.mark.parametrize(
    ("typed", "loggers"),
    [
        ("none", ()),
        ("wandb", ("wandb",)),
        ("[tensorboard]", ("tensorboard",)),
        ("[tensorboard,wandb]", ("tensorboard", "wandb")),
        ("[wandb,none,wandb]", ("wandb",)),
        ("[]", ()),
    ],
)
def test_loggers_are_named_alone_or_in_a_list(composed, tmp_path, typed, loggers):
    config = composed(f"logger={typed}")
    assert config.loggers == loggers
    assert config.run_id == composed().run_id
    folder = RunFolder(tmp_path)
    folder.write_config(config)
    assert folder.read_config() == config


def test_one_logger_is_written_down_as_it_always_was(tmp_path):
    """Records say `logger: none`, and so do new ones."""
    for logger in ("none", "tensorboard"):
        assert RunConfig(logger=logger).to_mapping()["logger"] == logger
        assert RunConfig.from_mapping({"logger": logger}).logger == logger


@pytest.mark.parametrize("wrong", ["csv", ["wandb", "csv"], [["wandb"]], None, 3])
def test_other_loggers_are_refused(wrong):
    allowed = "must be one of none, tensorboard, wandb, or a list of them"
    with pytest.raises(ConfigError, match=f"logger=.*: {allowed}$"):
        RunConfig(logger=wrong)


@pytest.mark.parametrize("found", [None, ModuleSpec("wandb", None)], ids=["nothing", "a folder"])
@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_missing_package_is_named_before_anything_is_made(tiny, monkeypatch, name, found):
    """A folder wandb/, as W&B leaves one where it is used, is not the package."""
    monkeypatch.setattr("resnet_study.store.loggers.find_spec", lambda name: found)
    check_loggers(tiny())
    config = tiny(logger=name)
    with pytest.raises(ConfigError, match=rf"logger={name}: needs the extra: .*\[{name}\]"):
        run(config)
    assert not Path(config.runs_dir, config.experiment_name).exists()

"""Sweeps composed quickly: each config is what Hydra's own composition gives."""

from __future__ import annotations

import random

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException
from hydra.types import RunMode

from hydra_plugins.resnet_study_compose import Composer
from resnet_study.__main__ import CONF, to_run_config
from resnet_study.config import RunConfig
from resnet_study.errors import ConfigError


@pytest.fixture
def composer():
    with initialize_config_dir(str(CONF), version_base="1.3"):

        def make(*overrides: str) -> Composer:
            loader = GlobalHydra.instance().config_loader()
            master = loader.load_configuration("config", list(overrides), RunMode.MULTIRUN)
            return Composer(loader, master)

        yield make


def slowly(composer: Composer, combination):
    return to_run_config(composer.loader.load_sweep_config(composer.master, list(combination)))


def outcome(compose, combination):
    """The run of a combination, or what is said against it."""
    try:
        return compose(combination)
    except (ConfigCompositionException, ConfigError) as error:
        return str(error)


CHOICES = {
    "experiment": ["quick", "gradients", "identity", "thousand"],
    "model": ["plain", "residual"],
    "model.depth": ["20", "56"],
    "model.shortcut": ["A", "B"],
    "model.init": ["he", "xavier", "'he'"],
    "start.depth": ["null", "20"],
    "seed": ["0", "7"],
    "schedule.iterations": ["5000", "6000"],
    "schedule.milestones": ["[1000,2000]", "[]"],
    "schedule.learning_rate": ["1e-1", "0.05", "1"],
    "schedule.warmup.iterations": ["null", "${checkpoint.every}"],
    "probes.at": ["[1]", "['${schedule.iterations}']"],
    "checkpoint.every": ["100", "200"],
    "experiment_name": ["a", "'b-c'", "${data.name}", "${schedule.name}/x"],
    "activation_checkpointing": ["true", "false"],
    "+data.label": ["null"],
    "++seed": ["3"],
    "~checkpoint.every": [""],
}


def test_random_combinations_are_what_hydra_makes_of_them(composer):
    rng = random.Random(0)
    fast = composer()
    told = 0
    for _ in range(80):
        keys = rng.sample(sorted(CHOICES), rng.randint(2, 9))
        combination = [f"{key}={rng.choice(CHOICES[key])}".removesuffix("=") for key in keys]
        expected = outcome(lambda words: slowly(fast, words), combination)
        told += isinstance(expected, RunConfig)
        found = outcome(lambda words: to_run_config(fast.compose(words)), combination)
        assert found == expected, combination
    assert told > 40


def test_files_are_read_once_for_each_choice_of_groups(composer):
    fast = composer()
    seen = set()
    for kind in ("plain", "residual"):
        for depth in (20, 32, 44):
            for seed in range(5):
                words = [f"model={kind}", f"model.depth={depth}", f"seed={seed}"]
                seen.add(to_run_config(fast.compose(words)).run_id)
    assert len(seen) == 30
    assert fast.loads == 2


def test_a_value_follows_what_it_refers_to(composer):
    fast = composer("experiment=gradients")
    for iterations in (1500, 2500, 1500):
        words = ["experiment=gradients", f"schedule.iterations={iterations}"]
        assert to_run_config(fast.compose(words)).probes.at == (0, 100, 500, iterations)


@pytest.mark.parametrize(
    "words, depth",
    [
        (["model={depth: 32}", "model.depth=56"], 56),
        (["model.depth=56", "model={depth: 32}"], 32),
        (["model.depth=56", "++model.depth=32"], 32),
        (["++model.depth=32", "model.depth=56"], 56),
    ],
)
def test_of_two_overrides_of_a_setting_the_last_one_counts(composer, words, depth):
    fast = composer()
    assert slowly(fast, words).model.depth == depth
    assert to_run_config(fast.compose(words)).model.depth == depth


def test_a_folder_of_its_own_is_seen(composer):
    usual, other = composer(), composer("hydra.sweep.dir=elsewhere")
    assert "hydra" not in usual.compose(["seed=1"])
    assert other.compose(["seed=1"]).hydra.sweep.dir == "elsewhere"

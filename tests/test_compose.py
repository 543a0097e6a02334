"""Sweeps composed quickly: each config is what Hydra's own composition gives."""

import functools
import itertools
from unittest.mock import Mock

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from hydra_plugins.resnet_study_compose import Composer
from resnet_study.cli import CONF, to_run_config
from tests.damage import example, given, st

WORDS = r"""
experiment=quick experiment=gradients experiment=identity experiment=nosuch
model=plain model=residual model={depth:32} model=7 model.depth=20 model.depth=??? model.nosuch=1
model.init='he' model.init='a,b=c:d' model.init='it\'s' model.init='${' model@start=plain ~model
start=null start={depth:20} start=x start.depth=null start.depth=20
seed=0 seed=[1,2] seed={a:1} seed=0,1 seed=${start.depth} seed.x=1 ++seed=3
schedule=short schedule=paper schedule.learning_rate=1e-1 schedule.learning_rate=1
schedule.milestones=[1000,2000] schedule.milestones=[] schedule.warmup.iterations=null
schedule.warmup.iterations=${checkpoint.every} probes.at=[1] probes.at=['${schedule.iterations}']
experiment_name=a experiment_name='b-c' experiment_name=${schedule.name}/x experiment_name=${no.x}
activation_checkpointing=true hydra.sweep.dir=x hydra/launcher=basic hydra.job.name=x
+data.label=null +nosuch=1 +experiment=quick ~checkpoint.every
"""


@pytest.fixture(scope="module")
def composer():
    """Makes, once for the same words, the composer of a sweep; one composer serves all tests."""
    with initialize_config_dir(str(CONF), version_base="1.3"):

        @functools.cache
        def make(*overrides: str) -> Composer:
            loader = GlobalHydra.instance().config_loader()
            master = loader.load_configuration("config", list(overrides), RunMode.MULTIRUN)
            return Composer(loader, master)

        yield make


def outcome(compose, words):
    """What a combination is composed to but for Hydra's own settings, or what is said of it."""
    try:
        composed = compose(words)
    except Exception as error:  # noqa: BLE001 - whatever Hydra and OmegaConf raise
        return type(error), str(error)
    own = OmegaConf.masked_copy(composed, [key for key in composed if key != "hydra"])
    return OmegaConf.to_container(own, resolve=False)


@pytest.mark.slow
@given(words=st.lists(st.sampled_from(WORDS.split()), min_size=1, max_size=6))
@example(words=["model={depth: 32}", "model.depth=56"])
@example(words=["model.depth=56", "model={depth: 32}"])
@example(words=["model.depth=56", "++model.depth=32"])
@example(words=["model=plain", "seed=7", "experiment=gradients", "schedule.name='a b'", "seed=8"])
def test_a_combination_is_what_hydra_makes_of_it(composer, words):
    fast = composer()
    load = functools.partial(fast.loader.load_sweep_config, fast.master)
    # The second time from what is known by then.
    assert [outcome(fast.compose, words) for _ in range(2)] == [outcome(load, words)] * 2


def test_files_are_read_once_for_each_choice_of_groups(composer, monkeypatch):
    fast = composer("seed=9")
    load = Mock(wraps=fast.loader.load_sweep_config)
    monkeypatch.setattr(fast.loader, "load_sweep_config", load)
    kinds, milestones = ("plain", "residual"), ("[]", "[1,2]", "['${schedule.eval_every}']")
    seen = {
        to_run_config(fast.compose([f"model={kind}", f"schedule.milestones={stones}"])).run_id
        for kind, stones in itertools.product(kinds, milestones)
    }
    assert len(seen) == 6
    assert load.call_count == 2

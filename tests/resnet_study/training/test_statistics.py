"""Batch norm's statistics recomputed for evaluation: what they are, and what they leave alone."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from resnet_study.config import AugmentConfig, ModelConfig, RunConfig, ScheduleConfig, StartConfig
from resnet_study.experiment import run
from resnet_study.models import build_network
from resnet_study.models.parts import normalise_in_parts
from resnet_study.system.errors import ConfigError
from resnet_study.training import checkpoint as checkpoints
from resnet_study.training.evaluation import recompute_statistics
from resnet_study.training.session import Session
from resnet_study.training.world import World
from tests.comparison import assert_same_end, curve, interrupted_at
from tests.conftest import LONGER

RECOMPUTED = LONGER | {"eval_statistics": "recomputed"}
TRAINING = ("iteration", "epoch", "learning_rate", "train_loss", "train_error")


@pytest.mark.parametrize("parts", [1, 2])
def test_statistics_are_means_over_mini_batches(parts):
    """Of the means and of the unbiased variances that each mini-batch, or part, has for itself."""
    generator = torch.Generator().manual_seed(0)
    batches = [3 + 2 * torch.randn(16, 3, 8, 8, generator=generator) for _ in range(5)]
    network, seen = build_network(ModelConfig(depth=8, width=4), 10), {}
    if parts > 1:
        normalise_in_parts(network, parts)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        # Whatever they were before.
        norm.running_mean.fill_(1e6)
        norm.register_forward_pre_hook(lambda m, args: seen.setdefault(m, []).append(args[0]))
    weights = [parameter.clone() for parameter in network.parameters()]
    recompute_statistics(network, iter(batches), "fp32")
    for norm in norms:
        inputs = [part for batch in seen[norm] for part in batch.chunk(parts)]
        means = torch.stack([x.mean((0, 2, 3)) for x in inputs]).mean(0)
        variances = torch.stack([x.var((0, 2, 3)) for x in inputs]).mean(0)
        assert len(seen[norm]) == 5
        assert torch.allclose(norm.running_mean, means, rtol=1e-4, atol=1e-5)
        assert torch.allclose(norm.running_var, variances, rtol=1e-4)
    assert all(map(torch.equal, network.parameters(), weights))


def test_kernels_agree_on_statistics():
    batches = [torch.randn(16, 3, 8, 8).to(memory_format=torch.channels_last) for _ in range(3)]
    one, two = (build_network(ModelConfig(depth=8, width=4), 10, fused=f) for f in (True, False))
    for network in (one, two):
        network.to(memory_format=torch.channels_last)
        recompute_statistics(network, batches, "fp32")
    for a, b in zip(one.buffers(), two.buffers(), strict=True):
        assert torch.allclose(a.float(), b.float(), rtol=1e-4, atol=1e-5)


def test_training_is_as_without_them(tiny, undisturbed, tmp_path):
    config = tiny(RECOMPUTED)
    record = run(config)
    usual, found = curve(undisturbed), curve(record.folder)
    assert [[row[c] for c in TRAINING] for row in usual] == [
        [row[c] for c in TRAINING] for row in found
    ]
    for name in ("clean_train_loss", "test_loss"):
        pairs = [(a[name], b[name]) for a, b in zip(usual, found, strict=True) if a[name]]
        assert len(pairs) == 2
        assert all(a != b for a, b in pairs)
    ends = [end(folder) for folder in (undisturbed, record.folder)]
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(ends[0][name], tensor) for name, tensor in ends[1].items())
    # A resume sees the same images: they follow from seed and iteration.
    again = interrupted_at(replace(config, runs_dir=str(tmp_path / "again")), 7, 20, 33)
    run(replace(config, runs_dir=str(tmp_path / "again")))
    assert_same_end(record.folder, again.path)


def end(folder) -> dict[str, torch.Tensor]:
    """Weights, running statistics and momentum at the end of a run."""
    saved = checkpoints.read(folder / "checkpoint.pt")
    momentum = {str(k): v["momentum_buffer"] for k, v in saved.optimizer["state"].items()}
    return saved.network | momentum


def test_an_evaluation_takes_ten_thousand_images_or_an_epoch(tiny, monkeypatch):
    config = tiny(RECOMPUTED)
    session = Session.open(config, World())
    session.prepare()
    for images, expected in ((10_000, 12), (64, 4), (8, 1)):
        monkeypatch.setattr("resnet_study.training.session.STATISTICS_IMAGES", images)
        batches = list(session.augmented(session.data.batches.starting_at(5)))
        assert [len(batch) for batch in batches] == [16] * expected
    (first,) = batches
    drawn = session.data.batches.draws(5)
    assert torch.equal(first, session.data.batches.assemble(*drawn)[0])


def test_a_saved_network_is_scored_either_way(tiny, cache, cli):
    data = replace(tiny().data, augment=AugmentConfig(padding=1, colour=0.2))
    record = run(tiny(RECOMPUTED, data=data, seed=3))
    words = (f"weights={record.folder / 'checkpoint.pt'}", "data=shapes", f"data.cache={cache}")

    def loss(*more: str) -> float:
        ended = cli(*words, *more, "--json", module="resnet_study.evaluate")
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)["single"]["loss"]

    # As in the run: its statistics, its batches, its augmentation, its seed.
    assert loss() == pytest.approx(float(curve(record.folder)[-1]["test_loss"]), rel=1e-4)
    running, plainer = loss("schedule.eval_statistics=running"), loss("data.augment.colour=0")
    assert len({round(each, 6) for each in (loss(), running, plainer)}) == 3


def test_where_they_have_no_effect_or_no_sense():
    recomputed = ScheduleConfig(eval_statistics="recomputed")
    assert RunConfig(schedule=recomputed).run_id != RunConfig().run_id
    bare = ModelConfig(norm="none")
    assert RunConfig(schedule=recomputed, model=bare).run_id == RunConfig(model=bare).run_id
    with pytest.raises(ConfigError, match=r"eval_statistics=recomputed: must be running with star"):
        RunConfig(schedule=recomputed, start=StartConfig(depth=14))

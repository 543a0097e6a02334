"""Probes: right numbers, and a run that does not notice them."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from resnet_study.config import ModelConfig, ProbesConfig
from resnet_study.experiment import run
from resnet_study.models import build_network
from resnet_study.probes.gradients import gradient_norms
from resnet_study.probes.layers import weighted_layers
from resnet_study.probes.responses import response_deviations
from resnet_study.probes.shattering import LAGS, input_gradient_autocorrelation
from resnet_study.store.tables import ProbesTable
from resnet_study.system.errors import ConfigError, StorageError
from tests.comparison import assert_same_end, interrupted_at

IMAGES = torch.randn(32, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(32) % 10
ALL = ProbesConfig(gradients=True, responses=True, shattering=True, at=(0, 4, 12), images=8)


def network(kind="residual", depth=14, **settings):
    return build_network(ModelConfig(kind=kind, depth=depth, width=4, **settings), 10)


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_gradient_norms_are_those_of_autograd(kind):
    module = network(kind, shortcut="C")
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    found = {(m, name): value for m, name, _, value in gradient_norms(module, IMAGES, LABELS)}
    torch.testing.assert_close(module.state_dict(), before, rtol=0, atol=0)
    # Zeros that are added to a layer's output have the gradient of the output.
    zeros = {}

    def add(layer, _, output):
        zeros[layer] = torch.zeros_like(output, requires_grad=True)
        return output + zeros[layer]

    # Projections are not among the layers.
    layers = weighted_layers(module)
    assert len(layers) == 13
    for _, layer in layers:
        layer.register_forward_hook(add)
    F.cross_entropy(module(IMAGES), LABELS).backward()
    for name, layer in layers:
        weight, output = float(layer.conv.weight.grad.norm()), float(zeros[layer].grad.norm())
        assert found["weight_gradient_norm", name] == pytest.approx(weight, rel=1e-5)
        assert found["activation_gradient_norm", name] == pytest.approx(output, rel=1e-5)


def test_forward_variance_is_one_with_batch_norm_and_vanishes_without():
    def variances(**settings):
        found = gradient_norms(network("plain", 56, **settings), IMAGES, LABELS)
        return [value for measure, _, _, value in found if measure == "forward_variance"]

    assert variances() == pytest.approx([1] * 55, abs=0.05)
    without = variances(norm="none", init="xavier")
    assert without[-1] < 1e-6 * without[0]


def test_response_deviations_are_those_of_all_responses():
    module = network("plain")
    module(IMAGES)
    batches = [(IMAGES[:20], LABELS[:20]), (IMAGES[20:], LABELS[20:])]
    found = dict(response_deviations(module, batches))
    outputs = {}
    for _, layer in weighted_layers(module):
        layer.register_forward_hook(lambda *given: outputs.update({given[0]: given[2].clone()}))
    with torch.no_grad():
        module.eval()(IMAGES)
    deviations = [float(output.std(correction=0)) for output in outputs.values()]
    assert list(found.values()) == pytest.approx(deviations, rel=1e-4)


def test_gradients_of_a_deep_plain_network_shatter():
    def of(kind, depth):
        return input_gradient_autocorrelation(network(kind, depth), IMAGES[:8])

    shallow, deep, residual = of("plain", 8), of("plain", 110), of("residual", 110)
    # Balduzzi et al. 2017: white noise for deep plain networks, not for residual ones.
    assert deep[1] < 0.5 * shallow[1]
    assert deep[1] < 0.5 * residual[1]


@pytest.mark.slow
def test_probes_change_nothing_of_a_run_and_nothing_changes_them(tiny, tmp_path):
    def probed(name, **changes):
        return tiny(**({"probes": ALL, "runs_dir": str(tmp_path / name)} | changes))

    whole, without = run(probed("whole")), run(probed("without", probes=ProbesConfig()))
    assert whole.run_id == without.run_id
    assert_same_end(whole.folder, without.folder)
    rows = pd.read_csv(whole.folder / "probes.csv")
    # Three measures of gradients and one of responses at each of seven layers.
    assert rows.groupby("iteration").size().to_dict() == dict.fromkeys((0, 4, 12), 28 + LAGS + 1)

    # An interrupted run has the same rows once, and keeps their cost.
    interrupted_at(probed("parts"), 4, 8)
    parts = run(probed("parts"))
    assert_same_end(parts.folder, whole.folder)
    assert parts.manifest["probe_seconds"] > 0
    # A network that computes its activations again has them too.
    again = run(probed("again", activation_checkpointing=True))
    text = (whole.folder / "probes.csv").read_text()
    for other in (parts, again):
        assert (other.folder / "probes.csv").read_text() == text


def test_rows_beyond_the_checkpoint_are_replaced(tmp_path):
    """A process was killed after a probe and before the next checkpoint."""
    log = ProbesTable(tmp_path / "probes.csv", 0)
    log.write(0, [("a", 1, "stem", 0.5)])
    log.write(10, [("a", 1, "stem", 0.25)])
    ProbesTable(tmp_path / "probes.csv", 5).write(10, [("a", 1, "stem", 0.125)])
    text = (tmp_path / "probes.csv").read_text()
    assert text == "iteration,measure,position,name,value\n0,a,1,stem,0.5\n10,a,1,stem,0.125\n"


def test_probes_beyond_the_end_are_refused(tiny):
    with pytest.raises(ConfigError, match=r"probes.at=\[13\]: must be at most"):
        tiny(probes=replace(ALL, at=(13,)))
    with pytest.raises(ConfigError, match="must name an iteration"):
        ProbesConfig(responses=True)


def test_probes_that_are_asked_for_later_are_named(tiny):
    """Any of a finished run, and an iteration that a run has passed."""
    responses = ProbesConfig(responses=True, at=(12,))
    config = tiny(probes=ProbesConfig(gradients=True, at=(12,), images=8))
    interrupted_at(config, 5)
    with pytest.raises(ConfigError, match="without response_deviation at iteration 0"):
        run(replace(config, probes=replace(responses, at=(0, 12))))
    run(config)
    with pytest.raises(ConfigError, match="without response_deviation at iteration 12"):
        run(replace(config, probes=responses))


def test_probes_may_be_added_before_their_iteration_and_a_garbled_file_is_one_line(tiny):
    interrupted_at(tiny(), 5)
    later = tiny(probes=ProbesConfig(responses=True, at=(12,)))
    assert run(later).manifest["probe_seconds"] > 0
    begun = interrupted_at(tiny(probes=ALL, seed=1), 5)
    (begun.path / "probes.csv").write_text("iteration,measure,position,name,value\nnonsense\n")
    with pytest.raises(StorageError, match=r"probes=.* is damaged"):
        run(tiny(probes=ALL, seed=1))

"""Probes: right numbers, and a run that does not notice them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from resnet_study.config import ModelConfig, ProbesConfig
from resnet_study.errors import ConfigError, StorageError
from resnet_study.experiment import run
from resnet_study.interruption import Interrupted
from resnet_study.models import build_network
from resnet_study.probes.gradients import gradient_norms
from resnet_study.probes.layers import weighted_layers
from resnet_study.probes.responses import response_deviations
from resnet_study.probes.shattering import LAGS, input_gradient_autocorrelation
from tests.comparison import Stop, assert_same_end

IMAGES = torch.randn(32, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(32) % 10
ALL = ProbesConfig(gradients=True, responses=True, shattering=True, at=(0, 4, 12), images=32)


def network(kind="residual", depth=14, **settings):
    return build_network(ModelConfig(kind=kind, depth=depth, width=4, **settings), 10)


def state(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def test_the_layers_are_the_3x3_ones_in_order():
    names = [name for name, _ in weighted_layers(network(depth=14, shortcut="C"))]
    assert names[:3] == ["stem", "stages.0.0.layers.0", "stages.0.0.layers.1"]
    assert len(names) == 13
    assert len(set(names)) == 13


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_gradient_norms_are_those_of_autograd(kind):
    module = network(kind)
    before = state(module)
    found = {(m, name): value for m, name, _, value in gradient_norms(module, IMAGES, LABELS)}
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())
    F.cross_entropy(module(IMAGES), LABELS).backward()
    for name, layer in weighted_layers(module):
        assert found["weight_gradient_norm", name] == pytest.approx(
            float(layer.conv.weight.grad.norm()), rel=1e-5
        )
    assert len(found) == 3 * 13


def test_the_activation_gradient_predicts_what_a_small_change_of_the_output_does():
    """A finite difference along the gradient, at the middle of a network in float64."""
    module = network("plain").double().eval()
    images = IMAGES.double()
    name, layer = weighted_layers(module)[6]
    captured = {}

    def shift(_, __, output):
        captured["shape"] = output.shape
        return output + captured.get("shift", 0.0)

    handle = layer.register_forward_hook(shift)
    with torch.no_grad():
        start = F.cross_entropy(module(images), LABELS)
    handle.remove()
    norms = []

    def keep(_, __, output):
        output.retain_grad()
        norms.append(output)
        return output.clone()

    handle = layer.register_forward_hook(keep)
    F.cross_entropy(module(images), LABELS).backward()
    handle.remove()
    gradient = norms[0].grad
    step = 1e-4
    captured["shift"] = step * gradient / gradient.norm()
    handle = layer.register_forward_hook(shift)
    with torch.no_grad():
        moved = F.cross_entropy(module(images), LABELS)
    handle.remove()
    assert float((moved - start) / step) == pytest.approx(float(gradient.norm()), rel=1e-2)
    assert name == "stages.1.0.layers.1"


def test_forward_variance_is_one_with_batch_norm_and_vanishes_or_grows_without():
    with_norm = {
        position: value
        for measure, _, position, value in gradient_norms(network("plain", 56), IMAGES, LABELS)
        if measure == "forward_variance"
    }
    assert len(with_norm) == 55
    assert all(value == pytest.approx(1, abs=0.05) for value in with_norm.values())
    xavier = network("plain", 56, norm="none", init="xavier")
    without = [
        v for m, _, _, v in gradient_norms(xavier, IMAGES, LABELS) if m == "forward_variance"
    ]
    assert without[-1] < 1e-6 * without[0]


def test_response_deviations_are_those_of_all_responses():
    module = network("plain")
    module(IMAGES)
    batches = [(IMAGES[:20], LABELS[:20]), (IMAGES[20:], LABELS[20:])]
    before = state(module)
    found = dict(response_deviations(module, batches))
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    outputs = {}
    for name, layer in weighted_layers(module):
        layer.register_forward_hook(
            lambda _, __, output, name=name: outputs.__setitem__(name, output.clone())
        )
    with torch.no_grad():
        module.eval()(IMAGES)
    assert list(found) == list(outputs)
    for name, output in outputs.items():
        assert found[name] == pytest.approx(float(output.std(correction=0)), rel=1e-4)


def test_a_linear_function_has_one_gradient_everywhere_and_a_deep_plain_one_shatters():
    values = input_gradient_autocorrelation(network("residual", 8), IMAGES)
    assert len(values) == LAGS + 1
    assert values[0] == pytest.approx(1)
    shallow = input_gradient_autocorrelation(network("plain", 8), IMAGES)
    deep = input_gradient_autocorrelation(network("plain", 110), IMAGES)
    residual = input_gradient_autocorrelation(network("residual", 110), IMAGES)
    # Balduzzi et al. 2017: white noise for deep plain networks, not for residual ones.
    assert deep[1] < 0.5 * shallow[1]
    assert deep[1] < 0.5 * residual[1]


def rows(folder):
    with (folder / "probes.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_a_run_with_probes_ends_bit_for_bit_as_without(tiny, tmp_path):
    with_probes = run(tiny(probes=ALL, runs_dir=str(tmp_path / "with")))
    without = run(tiny(runs_dir=str(tmp_path / "without")))
    assert with_probes.run_id == without.run_id
    assert_same_end(with_probes.folder, without.folder)
    assert with_probes.manifest["probe_seconds"] > 0
    assert "probe_seconds" not in without.manifest
    assert not (without.folder / "probes.csv").exists()
    found = rows(with_probes.folder)
    assert {int(row["iteration"]) for row in found} == {0, 4, 12}
    each = 3 * 7 + 7 + LAGS + 1
    assert len(found) == 3 * each


def test_an_interrupted_run_has_the_same_probes_once(tiny, tmp_path):
    whole = run(tiny(probes=ALL, runs_dir=str(tmp_path / "whole"))).folder
    parts = tiny(probes=ALL, runs_dir=str(tmp_path / "parts"))
    for at in (4, 8):
        with pytest.raises(Interrupted):
            run(parts, Stop(at, 15))
    folder = run(parts).folder
    assert (folder / "probes.csv").read_text() == (whole / "probes.csv").read_text()
    assert_same_end(folder, whole)


def test_rows_beyond_the_checkpoint_are_replaced(tiny, tmp_path):
    """A process was killed after a probe and before the next checkpoint."""
    from resnet_study.logs import ProbeLog

    log = ProbeLog(tmp_path / "probes.csv", 0)
    log.write(0, [("a", 1, "stem", 0.5)])
    log.write(10, [("a", 1, "stem", 0.25)])
    again = ProbeLog(tmp_path / "probes.csv", 5)
    again.write(10, [("a", 1, "stem", 0.125)])
    text = (tmp_path / "probes.csv").read_text()
    assert text == "iteration,measure,position,name,value\n0,a,1,stem,0.5\n10,a,1,stem,0.125\n"


def test_probes_of_a_run_that_finished_without_them_cannot_be_had(tiny):
    run(tiny())
    with pytest.raises(
        ConfigError, match="was trained without activation_gradient_norm at iteration 0"
    ):
        run(tiny(probes=ALL))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"probes": ProbesConfig(gradients=True, at=(13,))}, r"probes.at=\[13\]: allowed is up to"),
    ],
)
def test_probes_beyond_the_end_are_refused(tiny, changes, message):
    with pytest.raises(ConfigError, match=message):
        tiny(**changes)
    with pytest.raises(ConfigError, match="needs one iteration or more"):
        ProbesConfig(responses=True)


def test_probes_that_are_asked_for_later_are_named(tiny):
    """Another measure of a finished run, and an iteration that a run has passed."""
    run(tiny(probes=ProbesConfig(gradients=True, at=(12,), images=8)))
    with pytest.raises(ConfigError, match="without response_deviation at iteration 12"):
        run(tiny(probes=ProbesConfig(responses=True, at=(12,))))
    begun = tiny(seed=1)
    with pytest.raises(Interrupted):
        run(begun, Stop(5, 15))
    with pytest.raises(ConfigError, match="without response_deviation at iteration 0"):
        run(tiny(seed=1, probes=ProbesConfig(responses=True, at=(0, 12))))
    assert run(tiny(seed=1, probes=ProbesConfig(responses=True, at=(12,)))).state == "finished"


def test_the_cost_of_probes_is_kept_over_an_interruption(tiny):
    config = tiny(probes=ProbesConfig(gradients=True, at=(0,), images=32))
    with pytest.raises(Interrupted) as caught:
        run(config, Stop(5, 15))
    assert caught.value.iteration == 5
    assert run(config).manifest["probe_seconds"] > 0


def test_a_garbled_file_is_one_line(tiny):
    config = tiny(probes=ALL)
    with pytest.raises(Interrupted):
        run(config, Stop(5, 15))
    (file,) = Path(config.runs_dir).glob("*/*/probes.csv")
    file.write_text("iteration,measure,position,name,value\nnonsense\n")
    with pytest.raises(StorageError, match=r"probes=.* is damaged"):
        run(config)


def test_probes_see_a_network_that_recomputes_its_activations(tiny, tmp_path):
    found = [
        run(
            tiny(
                probes=ALL,
                activation_checkpointing=on,
                runs_dir=str(tmp_path / str(on)),
            )
        ).folder
        for on in (False, True)
    ]
    one, two = ((folder / "probes.csv").read_text() for folder in found)
    assert one == two

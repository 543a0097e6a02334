"""`python -m resnet_study.evaluate`: a file's weights, read safely, score what they should."""

import json
import os
import shutil
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torchvision.datasets import ImageFolder

from resnet_study.data.decoding import read_rgb
from resnet_study.evaluate import load_network
from resnet_study.experiment import run
from resnet_study.system.errors import ConfigError, StudyError
from resnet_study.training import checkpoint as checkpoints
from resnet_study.training.weights import read_weights
from tests.resnet_study.conftest import SMALL


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """Torchvision's, which has seen some images."""
    torch.manual_seed(0)
    network = torchvision.models.resnet18(num_classes=4)
    network(torch.randn(8, 3, 64, 64))
    return network.eval()


@pytest.fixture
def published(network, tmp_path: Path) -> Path:
    """What stands in for published weights."""
    torch.save(network.state_dict(), tmp_path / "resnet18.pth")
    return tmp_path / "resnet18.pth"


@pytest.fixture
def evaluate(varied: Path, cache: Path, cli):
    """Evaluates a file as the command does."""

    def call(path: Path, *arguments: str):
        words = [f"weights={path}", f"data.cache={cache}", "threads=2"]
        if "data=shapes" not in arguments:
            words += ["data=streamed_folder", f"data.root={varied}", "data.stream.workers=0"]
        return cli(*words, *arguments, module="resnet_study.evaluate")

    return call


WORDS = ("model=residual_imagenet", "data.stream.views=[single]")


@pytest.mark.slow
def test_published_weights_score_what_they_score_in_torchvision(
    evaluate, published, network, varied, tmp_path
):
    done = evaluate(published, *WORDS, "--json")
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)["single"]
    show = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.transforms()
    data = ImageFolder(str(varied / "val"), show, loader=lambda name: read_rgb(name, upright=True))
    with torch.no_grad():
        logits = torch.cat([network(image[None]) for image, _ in data])
    labels = torch.tensor(data.targets)
    assert scores["loss"] == pytest.approx(float(F.cross_entropy(logits, labels)), rel=2e-3)
    error = 100 * float((logits.argmax(1) != labels).float().mean())
    assert scores["error"] == pytest.approx(error, abs=4.2)
    assert scores["images"] == 24
    # As other scripts save them, on a folder without training images.
    state = network.state_dict()
    older = {f"module.{k}": v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    torch.save({"epoch": 90, "state_dict": older, "optimizer": {"state": {}}}, published)
    shutil.copytree(varied / "val", tmp_path / "photos/val")
    done = evaluate(published, *WORDS, f"data.root={tmp_path / 'photos'}")
    assert "residual-B, 18 layers, 11,178,564 parameters" in done.stdout
    assert "photos, 24 images" in done.stdout
    assert f"{scores['error']:.2f}" in done.stdout
    assert f"{scores['loss']:.4f}" in done.stdout
    assert not done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("normalization", ["per_pixel_mean", "torchvision"])
def test_a_runs_checkpoint_scores_what_its_manifest_says_and_views_are_added(
    evaluate, streamed, tmp_path, normalization
):
    """Crops, scales and normalisation are the run's own."""
    stream = replace(SMALL, normalization=normalization, upright=False)
    record = run(streamed(stream))
    weights = record.folder / "checkpoint.pt"
    done = evaluate(weights, "--json")
    assert not done.stderr
    found = json.loads(done.stdout)
    assert found.keys() == record.manifest["evaluation"].keys() == {"single", "ten_crop"}
    for view, scores in record.manifest["evaluation"].items():
        assert found[view]["loss"] == pytest.approx(scores["loss"], rel=1e-4)
        assert found[view]["error"] == pytest.approx(scores["error"], abs=4.2)

    more = streamed(replace(stream, views=("single", "multi_scale")))
    with pytest.raises(ConfigError, match="--record adds these"):
        run(more)
    words = ("data.stream.views=[multi_scale]", "--record")
    assert evaluate(weights, *words).returncode == 0
    assert set(run(more).manifest["evaluation"]) == {"single", "ten_crop", "multi_scale"}
    elsewhere = shutil.copy(weights, tmp_path)
    for refused, said in (
        (evaluate(elsewhere, *words), "must be the checkpoint of a finished run with --record"),
        (
            evaluate(weights, *words, "data.validation_images=4"),
            "with --record, must hold the images that the",
        ),
    ):
        assert refused.returncode == 2
        assert said in refused.stderr
    refused = evaluate(weights, *words, "schedule.eval_statistics=recomputed")
    assert refused.returncode == 2
    assert "eval_statistics=recomputed: must be running with --record" in refused.stderr


@dataclass
class _Runs:
    """What a pickle could do: run a command when it is loaded."""

    path: Path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def _cut_legacy(path: Path) -> None:
    torch.save(torch.load(path, weights_only=True), path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:3000])


def _without(name: str):
    def spoil(path: Path) -> None:
        torch.save(
            {k: v for k, v in torch.load(path, weights_only=True).items() if k != name}, path
        )

    return spoil


@pytest.mark.parametrize(
    ("spoil", "words", "said"),
    [
        (Path.unlink, [], "cannot be read (No such file or directory)"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), [], "is damaged, or holds more"),
        (_cut_legacy, [], "is damaged, or holds more than numbers"),
        (lambda path: path.write_text("weights"), [], "is damaged, or holds more than numbers"),
        (lambda path: torch.save([1, 2], path), [], "holds no network's state dict"),
        (lambda path: torch.save({"x": _Runs(path.with_name("run"))}, path), [], "holds more than"),
        (_without("fc.weight"), [], "do not fit the network of model.*"),
        (_without("layer3.0.conv1.weight"), [], "have no layer3.0.conv1.weight"),
        (None, ["-m"], "must be evaluated without a sweep; leave out -m"),
        (None, ["model.depth=34"], "have no layer1.2.conv1"),
        (None, ["data=shapes"], "are of 4 classes, embedded"),
        (None, ["model=plain_imagenet"], "this network has no layer2.0.downsample"),
        (None, ["weights="], "must be one file: weights=FILE"),
    ],
)
def test_what_is_no_weights_or_does_not_fit_is_one_line(evaluate, published, spoil, words, said):
    if spoil:
        spoil(published)
    done = evaluate(published, "model=residual_imagenet", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not published.with_name("run").exists()


def test_a_notebook_gets_the_network_of_a_run(tiny):
    record = run(tiny())
    network = load_network(record.folder)
    assert not network.training
    assert sum(p.numel() for p in network.parameters()) == record.manifest["parameters"]
    saved = checkpoints.read(record.folder / "checkpoint.pt").network
    assert all(torch.equal(saved[name], tensor) for name, tensor in network.state_dict().items())
    (record.folder / "checkpoint.pt").unlink()
    with pytest.raises(StudyError, match=r"holds no checkpoint\.pt; recorded runs have none"):
        load_network(str(record.folder))
    told = r"config=nowhere/config.yaml: cannot be read \(No such file or directory\)"
    with pytest.raises(StudyError, match=f"^{told}$"):
        load_network("nowhere")


def test_the_data_are_named_where_they_are_not_the_usual_ones(tiny, cli, cache, tmp_path):
    record = run(tiny())
    saved = checkpoints.read(record.folder / "checkpoint.pt")
    trained = replace(saved, config=saved.config | {"data": {"name": "cifar100"}}, data="others")
    checkpoints.write(tmp_path / "other.pt", trained)
    words = (f"weights={tmp_path / 'other.pt'}", f"data.cache={cache}", "data.resolution=8")
    done = cli(*words, module="resnet_study.evaluate")
    told = f"{tmp_path / 'other.pt'} was trained on cifar100; name the data, as in data=cifar100"
    assert (done.returncode, done.stderr) == (2, f"error: data=shapes: {told}\n")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        done = cli(*words, "data=shapes", module="resnet_study.evaluate")
    assert done.returncode == 0
    assert "was trained on other images than embedded shapes" in done.stderr


@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: {f"module.{name}": t for name, t in weights.items()},
        lambda weights: {f"_orig_mod.{name}": t for name, t in weights.items()},
        lambda weights: {f"module._orig_mod.{name}": t for name, t in weights.items()},
        lambda weights: {"net": weights, "acc": 91.5, "epoch": 3},
        lambda weights: {"net": {f"module.{name}": t for name, t in weights.items()}},
        lambda weights: {"state_dict": {f"model.{name}": t for name, t in weights.items()}},
        lambda weights: (
            {"n_averaged": torch.tensor(2)} | {f"module.{name}": t for name, t in weights.items()}
        ),
    ],
)
def test_weights_are_found_in_what_training_scripts_wrap_around_them(wrap, network, tmp_path):
    weights = network.state_dict()
    torch.save(wrap(weights), tmp_path / "file.pt")
    assert read_weights(tmp_path / "file.pt").tensors.keys() == weights.keys()


def test_a_file_of_one_tensor_has_no_wrapper(tmp_path):
    for name in ("weight", "a.b.weight"):
        torch.save({name: torch.ones(2)}, tmp_path / "file.pt")
        assert list(read_weights(tmp_path / "file.pt").tensors) == ["weight"]

"""`python -m resnet_study.evaluate`: a file's weights, read safely, score what they should."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from resnet_study import evaluate as command_line
from resnet_study.errors import ConfigError
from resnet_study.experiment import run
from tests.resnet_study.conftest import SMALL


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """What stands in for published weights: torchvision's network and names."""
    torch.manual_seed(0)
    network = torchvision.models.resnet18(num_classes=4)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    path = tmp_path / "resnet18.pth"
    torch.save(network.state_dict(), path)
    return path


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def evaluate(varied: Path, cache: Path, monkeypatch, capsys):
    """Evaluates a file as the command does, in this process."""

    def call(*arguments: str, streamed: bool = True) -> Done:
        data = ("data=streamed_folder", f"data.root={varied}", "data.stream.workers=0")
        words = [*(data if streamed else ()), f"data.cache={cache}", "threads=2", *arguments]
        monkeypatch.setattr("sys.argv", ["evaluate", *words])
        capsys.readouterr()
        try:
            command_line.main()
            status = 0
        except SystemExit as leaving:
            status = leaving.code
        return Done(status, *capsys.readouterr())

    return call


def test_the_command_evaluates_as_a_user_types_it(command, published, varied):
    words = [f"weights={published}", "model=residual_imagenet", "data=streamed_folder"]
    words += [f"data.root={varied}", "data.stream.views=[single]"]
    done = command(*words, module="resnet_study.evaluate")
    assert done.returncode == 0, done.stderr
    assert "single" in done.stdout
    assert not done.stderr


def expected_scores(path: Path, root: Path) -> tuple[float, float]:
    """Loss and error with torchvision's own network, transforms and data set."""
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    from resnet_study.data.pictures import read_rgb

    steps = transforms.Compose([
        transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ])  # fmt: skip
    data = ImageFolder(str(root / "val"), steps, loader=lambda name: read_rgb(name, upright=True))
    network = torchvision.models.resnet18(num_classes=4).eval()
    network.load_state_dict(torch.load(path, weights_only=True))
    with torch.no_grad():
        logits = torch.cat([network(image[None]) for image, _ in data])
    labels = torch.tensor([label for _, label in data])
    loss = nn.functional.cross_entropy(logits, labels)
    return float(loss), 100 * float((logits.argmax(1) != labels).float().mean())


def test_published_weights_score_what_they_score_in_torchvision(evaluate, published, varied):
    named = (f"weights={published}", "model=residual_imagenet", "model.depth=18", "--json")
    done = evaluate(*named, "data.stream.views=[single]")
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)
    loss, error = expected_scores(published, varied)
    assert scores["single"]["loss"] == pytest.approx(loss, rel=2e-3)
    assert scores["single"]["error"] == pytest.approx(error, abs=4.2)
    assert scores["single"]["images"] == 24
    all_views = "data.stream.views=[single,ten_crop,multi_scale]"
    done = evaluate(*named, all_views, "data.validation_images=4")
    assert done.returncode == 0, done.stderr
    assert {name: found["images"] for name, found in json.loads(done.stdout).items()} == {
        "single": 4, "ten_crop": 4, "multi_scale": 4
    }  # fmt: skip


def test_weights_need_no_training_images(evaluate, published, varied, tmp_path):
    shutil.copytree(varied / "val", tmp_path / "photos/val")
    done = evaluate(
        f"weights={published}", "model=residual_imagenet", f"data.root={tmp_path / 'photos'}",
        "data.stream.views=[single]",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "residual-B, 18 layers, 11,178,564 parameters" in done.stdout
    assert "photos, 24 images" in done.stdout


@pytest.mark.parametrize("normalization", ["per_pixel_mean", "torchvision"])
def test_a_runs_checkpoint_scores_what_its_manifest_says(evaluate, streamed, normalization):
    """Crops, scales and normalisation are the run's own."""
    record = run(streamed(stream=replace(SMALL, normalization=normalization, upright=False)))
    done = evaluate(f"weights={record.folder / 'checkpoint.pt'}", "--json")
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    found = json.loads(done.stdout)
    for view, scores in record.manifest["evaluation"].items():
        assert found[view]["loss"] == pytest.approx(scores["loss"], rel=1e-4)
        assert found[view]["error"] == pytest.approx(scores["error"], abs=4.2)


def test_views_are_added_to_a_finished_run(evaluate, streamed):
    record = run(streamed(stream=replace(SMALL, views=("single",))))
    assert list(record.manifest["evaluation"]) == ["single"]
    more = streamed(stream=replace(SMALL, views=("single", "multi_scale")))
    with pytest.raises(ConfigError, match="--record adds these"):
        run(more)
    views = "data.stream.views=[multi_scale]"
    words = [f"weights={record.folder / 'checkpoint.pt'}", views, "--record"]
    assert evaluate(*words).returncode == 0
    assert set(run(more).manifest["evaluation"]) == {"single", "multi_scale"}
    elsewhere = record.folder.parent.parent / "checkpoint.pt"
    shutil.copy(record.folder / "checkpoint.pt", elsewhere)
    done = evaluate(f"weights={elsewhere}", views, "--record")
    assert done.returncode == 2
    assert "allowed with --record is a finished run's" in done.stderr
    done = evaluate(*words, "data.validation_images=4")
    assert done.returncode == 2
    assert "allowed with --record are the images that it was trained on" in done.stderr


class _Runs:
    """What a pickle could do: run a command when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.unlink(), "cannot be read (No such file or directory)"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "is damaged, or holds more"),
        (lambda path: _cut_legacy(path), "is damaged, or holds more than numbers"),
        (lambda path: path.write_text("weights"), "is damaged, or holds more than numbers"),
        (lambda path: torch.save([1, 2], path), "holds no network's state dict"),
        (lambda path: torch.save({"x": _Runs(path.with_name("run"))}, path), "holds more than"),
        (lambda path: _without(path, "fc.weight"), "are of another network than model.*"),
        (lambda path: _without(path, "layer3.0.conv1.weight"), "have no layer3.0.conv1.weight"),
    ],
)
def test_a_file_that_is_no_weights_is_one_line(evaluate, published, spoil, words):
    spoil(published)
    done = evaluate(f"weights={published}", "model=residual_imagenet", "model.depth=18")
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not published.with_name("run").exists()


def _cut_legacy(path: Path) -> None:
    state = torch.load(path, weights_only=True)
    torch.save(state, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:3000])


def _without(path: Path, name: str) -> None:
    state = torch.load(path, weights_only=True)
    del state[name]
    torch.save(state, path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "error: weights=null: allowed is one file: weights=FILE"),
        (["weights=FILE", "model=residual_imagenet", "-m"], "are evaluated alone: leave out -m"),
        (["weights=FILE", "model=residual_imagenet", "model.depth=34"], "have no layer1.2.conv1"),
        (["weights=FILE", "model=residual_imagenet", "data=shapes"], "are of 4 classes, embedded"),
        (["weights=FILE", "model=plain_imagenet"], "this network has no layer2.0.downsample"),
    ],
)
def test_what_does_not_fit_is_one_line(evaluate, published, words, said):
    named = [word.replace("FILE", str(published)) for word in words]
    done = evaluate(*named, streamed="data=shapes" not in words)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_weights_of_other_scripts_are_found(published, evaluate):
    state = torch.load(published, weights_only=True)
    older = {f"module.{k}": v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    torch.save({"epoch": 90, "state_dict": older, "optimizer": {"state": {}}}, published)
    done = evaluate(f"weights={published}", "model=residual_imagenet", "data.stream.views=[single]")
    assert done.returncode == 0, done.stderr

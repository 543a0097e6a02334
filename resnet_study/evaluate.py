"""Evaluates the weights in a file on the test images of a data set.

  python -m resnet_study.evaluate weights=FILE [OVERRIDES] [--json] [--record]

weights=FILE  a run's checkpoint.pt, or a state dict as torch.save writes it, such as
              torchvision's published weights; no code in it is run
OVERRIDES     what python -m resnet_study takes: model=residual_imagenet model.depth=50
              data=imagenet data.root=FOLDER precision=bf16; for a streamed folder, name the
              views with data.stream.views=[single,ten_crop,multi_scale]
--json        print the scores as JSON
--record      add the scores to the manifest of the run that wrote the checkpoint

A run's checkpoint holds the settings of its network, images and evaluations: name only the data,
and what you want to differ, such as schedule.eval_statistics=recomputed. Published weights of
ImageNet's family are evaluated with torchvision's strides and normalisation, unless you set
model.bottleneck_stride or data.stream.normalization; the data then need no train/.
  python -m resnet_study.evaluate weights=resnet50.pth model=residual_imagenet model.depth=50
      data=imagenet
"""

import functools
import json
import sys
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from resnet_study import cli
from resnet_study.config import DataConfig, ModelConfig, RunConfig
from resnet_study.config.fields import first_difference, nested_type
from resnet_study.data.batches import Shard, Views
from resnet_study.data.dataset import PreparedData
from resnet_study.models import build_network
from resnet_study.models.architectures import ARCHITECTURES
from resnet_study.models.counting import count_parameters
from resnet_study.models.staged import StagedNet
from resnet_study.store.folder import RunFolder
from resnet_study.system.command import command
from resnet_study.system.errors import ConfigError, StudyError, warn
from resnet_study.system.files import expanded
from resnet_study.training.evaluation import Scores
from resnet_study.training.session import Session
from resnet_study.training.weights import Weights, read_weights
from resnet_study.training.world import World


def rewrite(arguments: Sequence[str]) -> tuple[Path, list[str]]:
    """The file of weights, and the rest of the command line, as `cli.main` reads it.

    Raises:
        ConfigError: No file is named, or a sweep is asked for.
    """
    named = [word.partition("=")[2] for word in arguments if word.startswith("weights=")]
    if len(named) != 1 or not named[0]:
        raise ConfigError("weights", named or None, "must be one file: weights=FILE")
    if {"-m", "--multirun"} & set(arguments):
        raise ConfigError("weights", named[0], "must be evaluated without a sweep; leave out -m")
    flags = {"--json", "--record"}
    rest = [word for word in arguments if not word.startswith("weights=") and word not in flags]
    # An experiment would start a sweep, but may be named for its data and views.
    return expanded(named[0]), [*rest, "hydra.mode=RUN"]


def described(composed: Any, weights: Weights, typed: set[str]) -> RunConfig:
    """The config that the weights are evaluated with.

    Args:
        composed: Hydra's config.
        weights: The weights to evaluate.
        typed: The keys that the command line sets.

    Raises:
        ConfigError: A value is not allowed, or differs from that of the weights' network.
    """
    if "data.augment.colour" not in typed:
        # Without it, published weights need no statistics of training images.
        composed.data.augment.colour = 0.0
    if weights.checkpoint is None:
        design = ARCHITECTURES.get(str(composed.model.architecture))
        if design is not None and design.torchvision:
            if "model.shortcut" not in typed and weights.projects:
                composed.model.shortcut = "B"
            if "model.bottleneck_stride" not in typed:
                composed.model.bottleneck_stride = "3x3"
            if "stream" in composed.data and "data.stream.normalization" not in typed:
                composed.data.stream.normalization = "torchvision"
        return cli.to_run_config(composed)
    config = cli.to_run_config(composed)
    own = ModelConfig(**weights.checkpoint.config.get("model", {}))
    if any(key.partition(".")[0] == "model" for key in typed) and config.model != own:
        name, typed_value, value = first_difference(asdict(config.model), asdict(own))
        allowed = f"{weights.path} has {value}; leave model out"
        raise ConfigError(f"model.{name}", typed_value, allowed)
    trained = weights.checkpoint.config
    settings = ("precision", "seed")
    top = {name: trained[name] for name in settings if name in trained and name not in typed}
    data = trained.get("data", {})
    name = data.get("name", DataConfig.name)
    if config.data.name != name and typed.isdisjoint({"data", "data.name"}):
        allowed = f"{weights.path} was trained on {name}; name the data, as in data={name}"
        raise ConfigError("data", config.data.name, allowed)
    if config.data.name == name:
        top["data"] = _as_trained(config.data, data, "data.", typed | {"data.label"})
    schedule = _as_trained(config.schedule, trained.get("schedule", {}), "schedule.", typed)
    return replace(config, model=own, schedule=schedule, **top)


def _as_trained(given: Any, trained: dict[str, Any], prefix: str, kept: set[str]) -> Any:
    """A config with the trained run's values for all that identifies a run, except `kept` keys."""
    usual, values = type(given)(), {}
    for f in fields(given):
        name = prefix + f.name
        if nested_type(f):
            inner = trained.get(f.name, {})
            values[f.name] = _as_trained(getattr(given, f.name), inner, f"{name}.", kept)
        elif f.metadata["rule"].identity and name not in kept:
            values[f.name] = trained.get(f.name, getattr(usual, f.name))
    return replace(given, **values)


def load_network(folder: str | Path) -> StagedNet:
    """The network of a run with the weights of its last checkpoint.

    Args:
        folder: The run's folder, such as "runs/quick/ID".

    Returns:
        The network on the CPU, in evaluation mode; it maps `(N, 3, H, W)` to logits
        `(N, classes)`.

    Raises:
        StudyError: The folder holds no run, or no checkpoint.
    """
    run = RunFolder(expanded(folder))
    model = run.read_config().model
    if not run.checkpoint_file.exists():
        missing = "holds no checkpoint.pt; recorded runs have none, so train the run again"
        raise StudyError("folder", folder, missing)
    weights = read_weights(run.checkpoint_file)
    network = build_network(model, weights.classes or 0, fused=False)
    weights.put_into(network)
    return network.eval()


def score(
    config: RunConfig, weights: Weights, recording: bool = False
) -> tuple[StagedNet, dict[str, Scores]]:
    """Evaluates weights on a data set's test images.

    Args:
        config: Network, data, device and precision.
        weights: Weights of that network.
        recording: Whether the images must be those that the run was trained on.

    Returns:
        The network, and its scores by view.

    Raises:
        StudyError: The weights do not fit, or the data are missing or unfit.
    """
    data, schedule = config.data, replace(config.schedule, eval_train_images=None)
    normalized = data.streamed and data.stream.normalization == "torchvision"
    needs_train = recording or schedule.recomputes or not normalized or data.validation_images > 0
    # Torch's kernels, so that published weights get their published scores.
    config = replace(config, kernels="torch", schedule=schedule, batch_norm_parts=1)
    session = Session.open(config, World(), needs_train)
    session.prepare()
    if weights.classes not in (None, session.data.classes):
        allowed = f"are of {weights.classes} classes, {data.title} has {session.data.classes}"
        raise ConfigError("weights", weights.path, allowed)
    trained_on = weights.checkpoint.data if weights.checkpoint and needs_train else None
    if trained_on is not None and trained_on != session.fingerprint:
        if recording:
            allowed = "with --record, must hold the images that the run was trained on"
            raise ConfigError("data.root", data.root, allowed)
        warn(f"{weights.path} was trained on other images than {data.title}")
    network = session.build()
    weights.put_into(network)
    seen = weights.checkpoint.state["iteration"] if weights.checkpoint else 0
    network = session.evaluated(network, session.data.batches.starting_at(seen))
    views = session.data.views or {"single": functools.partial(_only_view, session.data)}
    return network, {
        name: session.evaluate(network, _shown(name, chunks(iter), len(session.data.test)))
        for name, chunks in views.items()
    }


def _only_view(data: PreparedData, shard: Shard[int]) -> Generator[Views]:
    return (([images], labels) for images, labels in data.test.chunks(data.chunk, shard))


def _shown(name: str, batches: Iterator[Views], images: int) -> Iterator[Views]:
    """The batches, with a progress bar on a terminal: ten crops of a large set take a while."""
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=images)
        for views, labels in batches:
            yield views, labels
            progress.advance(task, len(labels))


def record(config: RunConfig, weights: Weights, scores: dict[str, Scores]) -> None:
    """Adds scores to the manifest of the run whose checkpoint was evaluated.

    Raises:
        StudyError: The weights are not a finished run's, or were evaluated with other statistics.
    """
    folder = RunFolder(weights.path.parent)
    finished = folder.completed()
    if weights.checkpoint is None or finished is None:
        raise ConfigError(
            "weights", weights.path, "must be the checkpoint of a finished run with --record"
        )
    given, own = config.schedule.eval_statistics, folder.read_config().schedule.eval_statistics
    if given != own:
        raise ConfigError("schedule.eval_statistics", given, f"must be {own} with --record")
    former = finished.manifest.get("evaluation") or {}
    found = {name: asdict(score) for name, score in scores.items()}
    folder.write_manifest(finished.manifest | {"evaluation": former | found})


def text(config: RunConfig, weights: Weights, network: StagedNet, scores: dict[str, Scores]) -> str:
    """The scores as text."""
    model = config.model
    images = max(found.images for found in scores.values())
    lines = [
        f"weights   {weights.path}",
        f"network   {model.family}, {model.depth} layers, {count_parameters(network):,} parameters",
        f"data      {config.data.title}, {images:,} images",
        *["statistics of batch norm are recomputed"] * config.schedule.recomputes,
        "",
        f"{'view':<12}{'top-1 error (%)':>17}{'top-5 error (%)':>17}{'loss (nats)':>14}",
    ]
    for name, found in scores.items():
        top5 = "–" if found.top5_error is None else f"{found.top5_error:.2f}"
        lines.append(f"{name:<12}{found.error:>17.2f}{top5:>17}{found.loss:>14.4f}")
    return "\n".join(lines)


def _carry_out(composed: Any, path: Path, typed: set[str], flags: set[str]) -> None:
    """Evaluates the weights in a file as the composed config says, and prints the scores."""
    try:
        weights = read_weights(path)
        config = described(composed, weights, typed)
        network, scores = score(config, weights, "--record" in flags)
        if "--record" in flags:
            record(config, weights, scores)
    except StudyError as error:
        cli.fail(error)
    if "--json" in flags:
        print(json.dumps({name: asdict(found) for name, found in scores.items()}, indent=2))
    else:
        print(text(config, weights, network, scores))


@command
def main() -> int:
    """Entry point; reads the command line."""
    arguments = sys.argv[1:]
    if {"-h", "--help"} & set(arguments):
        print(__doc__, end="")
        return 0
    flags = {word for word in arguments if word.startswith("--")}
    typed = {word.partition("=")[0].lstrip("+~") for word in arguments}
    path, sys.argv[1:] = rewrite(arguments)
    return cli.main(functools.partial(_carry_out, path=path, typed=typed, flags=flags))


if __name__ == "__main__":
    sys.exit(main())

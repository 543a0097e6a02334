"""Seconds that a run takes, from finished runs or from a benchmark. Nothing is measured here."""

import functools
import json
import math
import statistics
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from resnet_study.config import RunConfig
from resnet_study.config.schedule import STATISTICS_IMAGES
from resnet_study.data import size_of
from resnet_study.plan.place import Place
from resnet_study.store.folder import RunFolder
from resnet_study.system.errors import StorageError
from resnet_study.system.files import expanded, storage

OWN = Path("runs/benchmark/benchmark.json")
RECORDED = Path(__file__).resolve().parents[2] / "runs/recorded/benchmark/benchmark.json"
POSITIVE = ("depth", "width", "side", "workers", "threads", "cores", "images_per_second")

# A network that a benchmark measured: its record and the machine's, with "layer" (width times
# pixels, to which a layer's time is proportional) and "source" for readers.
Measured = dict[str, Any]


@dataclass(frozen=True)
class Estimate:
    """Estimated duration of a run.

    Attributes:
        seconds: From its beginning to its end.
        basis: Where the estimate comes from: "3 runs"; "measured" by a benchmark at this depth or
            others; or "scaled" from another width, size of images, precision or device.
        source: Which runs or which benchmark.
    """

    seconds: float
    basis: str
    source: str


def read_benchmark(path: Path) -> list[Measured]:
    """Reads the measurements of the study's own recipes from a benchmark's file.

    Raises:
        StorageError: It is missing, or is something else.
    """
    with storage("benchmark", path, "cannot be read"):
        text = path.read_text(encoding="utf-8")
    try:
        result = json.loads(text)
        machine = result["machine"]
        shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        source = "{}: {device_name}, {cores} cores".format(shown, **machine)
        records = [machine | r for r in result["measurements"] if r["recipe"] != "conventional"]
        if not records or not all(0 < r[key] < math.inf for r in records for key in POSITIVE):
            raise ValueError
        return [r | {"source": source, "layer": r["width"] * r["side"] ** 2} for r in records]
    except (LookupError, TypeError, ValueError) as error:
        raise StorageError("benchmark", path, "must be a file that make bench wrote") from error


def choose_benchmark(given: str | None, place: Place) -> Path:
    """The file that the user names, else this machine's, else the recorded one.

    Raises:
        StorageError: This machine's file is damaged.
    """
    here = {"device_name": place.device_name, "cores": place.cores}
    if given is None and OWN.is_file() and here.items() <= read_benchmark(OWN)[0].items():
        return OWN
    return expanded(given or RECORDED)


def from_finished_runs(config: RunConfig, place: Place) -> Estimate | None:
    """The median of finished runs that differ from this one only in the seed, if there are any.

    Runs on other hardware do not count. A cluster's hardware is not known: there all runs count.
    """
    folder = RunFolder.of(config).path.parent
    stem = config.run_id.rsplit("-", 2)[0]
    found = []
    for path in folder.glob(f"{stem}-s*-??????"):
        seed = path.name.rsplit("-", 2)[1][1:]
        if not seed.isdecimal() or replace(config, seed=int(seed)).run_id != path.name:
            continue
        with suppress(StorageError):
            manifest = RunFolder(path).read_manifest() or {}
            same = manifest.get("threads") == (config.threads or place.threads)
            same &= place.device_name in (None, manifest.get("device_name"))
            if same and manifest["state"] == "finished":
                found.append(manifest["seconds"] + manifest.get("probe_seconds", 0.0))
    if not found:
        return None
    seconds, basis = statistics.median(found), f"{len(found)} run{'s' if len(found) > 1 else ''}"
    return Estimate(place.start_seconds + seconds, basis, f"finished runs in {folder}")


def from_benchmark(config: RunConfig, place: Place, measured: list[Measured]) -> Estimate:
    """Estimates a run from the most similar measurements.

    Args:
        config: The run.
        place: Where it trains.
        measured: Networks that were measured, there or elsewhere.

    Raises:
        DataError: An image folder is missing, or has another layout.
    """
    train, test, side = _size_of(config.data)
    schedule = config.schedule
    threads = config.threads or place.threads
    layer = config.model.design.layer_cost(config.model.width, side)
    wanted = {"threads": threads, "workers": place.workers, "layer": layer}
    if place.gpus:
        sharing = 1 if place.cluster else math.ceil(place.workers / place.gpus)
        wanted = {"workers": sharing, "layer": layer}

    def distance(record: Measured) -> list[tuple[float, float]]:
        """Ratios to the wanted values, the most important first; the smaller value breaks ties."""
        return [(abs(math.log(record[key] / value)), record[key]) for key, value in wanted.items()]

    precise = [record for record in measured if record["precision"] == config.precision]
    least = min(map(distance, precise or measured))
    records = [record for record in precise or measured if distance(record) == least]
    evaluated = min(schedule.eval_train_images or train, train) + test
    evaluated += schedule.recomputes * min(STATISTICS_IMAGES, train)
    evaluated *= math.ceil(schedule.iterations / schedule.eval_every)
    # Training passes over a network three times, and once more to recompute activations.
    passes = 4 if config.activation_checkpointing else 3
    trained = schedule.iterations * schedule.batch_size * passes / 3
    by_depth = {record["depth"]: _seconds(record, trained, evaluated) for record in records}
    seconds = _at_depth(by_depth, config.model.depth) * layer / records[0]["layer"]
    turns = max(1.0, place.workers * threads / (place.cores or math.inf))
    one, on_gpu = records[0], place.gpus > 0
    known = precise and layer == one["layer"] and on_gpu == (one["device"] == "cuda")
    basis = "measured" if known else "scaled"
    return Estimate(place.start_seconds + turns * seconds, basis, one["source"])


def _seconds(record: Measured, trained: float, evaluated: float) -> float:
    """Seconds that a worker takes to train and evaluate these numbers of images."""
    training = record["images_per_second"]
    # An interrupted benchmark has no evaluation, which is one of training's three passes.
    evaluation = record.get("evaluation_images_per_second") or 3 * training
    return float(record["workers"] * (trained / training + evaluated / evaluation))


def _at_depth(seconds: dict[int, float], depth: int) -> float:
    """A straight line between measured depths, in proportion beyond them."""
    depths = sorted(seconds)
    within = min(max(depth, depths[0]), depths[-1])
    return float(np.interp(within, depths, [seconds[d] for d in depths])) * depth / within


# A sweep asks for the same data many times, and a folder takes a while to list.
_size_of = functools.cache(size_of)

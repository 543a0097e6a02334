"""What a benchmark has measured: its file, read and checked."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_study.benchmark.subjects import Subject
from resnet_study.errors import StorageError
from resnet_study.files import reason

FILE = "benchmark.json"
CHECKOUT = Path(__file__).resolve().parent.parent.parent
OWN = Path("runs/benchmark") / FILE
RECORDED = CHECKOUT / "runs" / "recorded" / "benchmark" / FILE
MEASURE = 'make bench ARGS="--rounds 1 --no-growth"'


@dataclass(frozen=True)
class Speed:
    """How fast one network was trained by one recipe.

    Attributes:
        depth: Weighted layers.
        width: Filters of the first stage.
        side: Of the images, in pixels.
        batch_size: Images of a mini-batch.
        precision: "fp32" or "bf16".
        workers: Processes that trained at the same time.
        threads: CPU threads of each.
        train: Seconds per training image in each process, without checkpoints.
        evaluate: Seconds per evaluated image in each process.
        checkpoint: Seconds of a checkpoint.
        spread: Greatest difference of two rounds, in percent; None of one round.
    """

    depth: int
    width: int
    side: int
    batch_size: int
    precision: str
    workers: int
    threads: int
    train: float
    evaluate: float
    checkpoint: float
    spread: float | None


@dataclass(frozen=True)
class Benchmark:
    """A benchmark's file.

    Attributes:
        path: Where it is.
        device: "cpu" or "cuda".
        device_name: Of the machine that was measured.
        cores: That it used.
        kernels: "fused" or "torch".
        speeds: Of our recipes; the conventional one is left out.
    """

    path: Path
    device: str
    device_name: str
    cores: int
    kernels: str
    speeds: tuple[Speed, ...]

    @property
    def machine(self) -> str:
        return f"{self.device_name}, {self.cores} core{'s' if self.cores > 1 else ''}"


def read(path: Path) -> Benchmark:
    """Reads a benchmark's file, or the one in a folder.

    Raises:
        StorageError: It is not there, or is something else.
    """
    path = path / FILE if path.is_dir() else path
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        about = result["machine"]
        ours = [r for r in result["measurements"] if r["recipe"] != "conventional"]
        speeds = tuple(_speed(record) for record in ours)
        if not speeds:
            raise ValueError
        return Benchmark(
            path,
            str(about["device"]),
            str(about["device_name"]),
            int(about["cores"]),
            str(about["kernels"]),
            speeds,
        )
    except OSError as error:
        raise StorageError("benchmark", path, f"cannot be read ({reason(error)})") from error
    except (ArithmeticError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(
            "benchmark", path, "allowed is a file of python -m resnet_study.benchmark"
        ) from error


def _speed(record: dict[str, Any]) -> Speed:
    workers = int(record["workers"])
    subject = Subject.named(record["network"])
    if subject is None:
        raise ValueError
    saving = float(record["checkpoint_seconds"])
    # What was measured has the time of a checkpoint spread over the iterations between two.
    iteration = record["batch_size"] * workers / float(record["images_per_second"])
    train = (iteration - saving / subject.checkpoint_every) / record["batch_size"]
    rate = record.get("evaluation_images_per_second")
    rounds = [float(each) for each in record["rounds"]]
    found = Speed(
        int(record["depth"]),
        int(record["width"]),
        int(record["side"]),
        int(record["batch_size"]),
        str(record["precision"]),
        workers,
        int(record["threads"]),
        train,
        # An interrupted benchmark has not come to evaluations: of the three passes over a
        # network that training makes, they are one.
        workers / float(rate) if rate else train / 3,
        saving,
        100 * (max(rounds) - min(rounds)) / min(rounds) if len(rounds) > 1 else None,
    )
    numbers = (found.train, found.evaluate, found.checkpoint, found.workers, found.threads)
    if not all(math.isfinite(number) and number > 0 for number in numbers):
        raise ValueError
    return found


def choose(given: str | None, device_name: str, cores: int | None) -> tuple[Benchmark, str]:
    """The benchmark to estimate from, and why this one.

    Args:
        given: A file that the user names.
        device_name: Of the machine that trains.
        cores: Of that machine; None where that is not known, as on a cluster.

    Returns:
        The benchmark, and "given", "this machine" or "another machine".

    Raises:
        StorageError: The file is not there, or is something else.
    """
    if given is not None:
        return read(Path(given)), "given"
    if OWN.is_file() and cores is not None:
        own = read(OWN)
        if (own.device_name, own.cores) == (device_name, cores):
            return own, "this machine"
    try:
        return read(RECORDED), "another machine"
    except StorageError as error:
        raise StorageError("benchmark", None, f"none is there; {MEASURE} makes one") from error

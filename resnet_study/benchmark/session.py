"""A session of measurements: every recipe on every network, in turns, several times."""

from __future__ import annotations

import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resnet_study.benchmark.conventional import conventional
from resnet_study.benchmark.crew import Crew
from resnet_study.benchmark.measure import Window, evaluation, matrix_product, ours
from resnet_study.benchmark.subjects import Subject
from resnet_study.config import ModelConfig
from resnet_study.models import build_network
from resnet_study.models.counting import count_multiply_adds

CONVENTIONAL = "conventional"


@dataclass(frozen=True)
class Recipe:
    """A way to train: the conventional one, or ours in so many processes.

    Attributes:
        kind: "conventional", "one process" or "sweep".
        precision: "fp32", "bf16", or, of the conventional one on a GPU, "tf32".
        workers: Processes that train at the same time.
        threads: CPU threads of each.
    """

    kind: str
    precision: str
    workers: int
    threads: int

    @property
    def name(self) -> str:
        if self.kind == CONVENTIONAL:
            return self.kind
        return f"{self.kind}, {self.precision}"


def recipes_for(
    cores: int, workers: int, precisions: Sequence[str], on_gpu: bool = False
) -> list[Recipe]:
    """All recipes of a session, the conventional one first, in torch's default precision."""
    share = max(1, cores // workers)
    ways = [("one process", 1, cores)]
    if workers > 1:
        ways.append(("sweep", workers, share))
    return [
        Recipe(CONVENTIONAL, "tf32" if on_gpu else "fp32", 1, cores),
        *(Recipe(kind, p, count, threads) for kind, count, threads in ways for p in precisions),
    ]


@dataclass
class Session:
    """Measures, and keeps what it measured.

    Args:
        device: "cpu" or "cuda".
        cores: CPU cores that may be used.
        seconds: Length of each measurement.
        loaders: Numbers of loader processes that the conventional recipe may have. All are
            tried in the first round and the better two in the others; a round's best counts.
        scratch: A folder for runs that nobody wants to keep.
    """

    device: str
    cores: int
    seconds: float
    loaders: Sequence[int]
    scratch: Path
    rates: dict[tuple[Subject, Recipe], list[float]] = field(
        default_factory=lambda: defaultdict(list)
    )
    ceilings: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    details: dict[tuple[Subject, Recipe], dict[str, float]] = field(default_factory=dict)
    best_loaders: dict[Subject, list[int]] = field(default_factory=dict)

    @property
    def delay(self) -> float:
        """Seconds until a process has loaded, allocated and, on a GPU, captured."""
        return 1.0 if self.device == "cpu" else 6.0

    def warm_up(self, crew: Crew) -> None:
        """Has every process load, and its device ready, before anything is measured."""
        subject = Subject(8, "quick")
        recipe = Recipe("sweep", "fp32", len(crew.members), 1)
        self.train(crew, subject, recipe)
        del self.details[subject, recipe]

    def round(
        self,
        crew: Crew,
        subjects: Sequence[Subject],
        recipes: Sequence[Recipe],
        tell: Callable[[str], None],
    ) -> None:
        """Measures each recipe on each network once, and the ceiling of each precision."""
        for precision in sorted({recipe.precision for recipe in recipes}):
            tell(f"matrix product, {precision}")
            found = crew.do(matrix_product, [(precision, self.device, self.cores)])
            self.ceilings[precision].append(found[0])
        for subject in subjects:
            for recipe in recipes:
                tell(f"{subject.name}, {recipe.name}")
                if recipe.kind == CONVENTIONAL:
                    self._measure_conventional(crew, subject, recipe)
                else:
                    self.rates[subject, recipe].append(self.train(crew, subject, recipe))

    def _measure_conventional(self, crew: Crew, subject: Subject, recipe: Recipe) -> None:
        config = subject.config("runs", "fp32", self.device, recipe.threads)
        tried = {}
        for loaders in self.best_loaders.get(subject, self.loaders):
            window = Window.of(self.seconds, self.delay)
            found = crew.do(conventional, [(config, window, loaders)])[0]
            tried[loaders] = found["images_per_second"]
        ranked = sorted(tried, key=lambda loaders: -tried[loaders])
        self.best_loaders[subject] = ranked[:2]
        self.rates[subject, recipe].append(tried[ranked[0]])

    def train(self, crew: Crew, subject: Subject, recipe: Recipe) -> float:
        """Images per second of all of a recipe's processes together."""
        with tempfile.TemporaryDirectory(dir=self.scratch, ignore_cleanup_errors=True) as folder:
            configs = [
                subject.config(folder, recipe.precision, self.device, recipe.threads, seed)
                for seed in range(recipe.workers)
            ]
            window = Window.of(self.seconds, self.delay, recipe.workers)
            every = subject.checkpoint_every
            found = crew.do(ours, [(config, window, every) for config in configs])
        # Whatever else a process has done before may be in its memory too: the least is true.
        former = self.details.get((subject, recipe), {}).get("peak_memory_bytes", float("inf"))
        self.details[subject, recipe] = {
            "checkpoint_seconds": max(each["checkpoint_seconds"] for each in found),
            "peak_memory_bytes": min(former, *(each["peak_memory_bytes"] for each in found)),
        }
        return float(sum(each["images_per_second"] for each in found))

    def evaluate(self, crew: Crew, subject: Subject, recipe: Recipe) -> None:
        """Measures evaluation, for those who plan how long a sweep will take."""
        config = subject.config("runs", recipe.precision, self.device, recipe.threads)
        found = crew.do(evaluation, [(config,)] * recipe.workers)
        self.details[subject, recipe]["evaluation_images_per_second"] = sum(found)

    def measurements(self) -> list[dict[str, Any]]:
        """One record per network and recipe, ready for JSON."""
        records = []
        ceiling = {p: statistics.median(rates) for p, rates in self.ceilings.items()}
        median = {key: statistics.median(rates) for key, rates in self.rates.items()}
        base = {s: rate for (s, r), rate in median.items() if r.kind == CONVENTIONAL}
        for (subject, recipe), rate in median.items():
            config = subject.config("runs", "fp32", self.device, recipe.threads)
            operations = training_operations(config.model, config.data.resolution or 32)
            record = {
                "network": subject.name,
                "depth": subject.depth,
                "width": config.model.width,
                "side": config.data.resolution or 32,
                "batch_size": config.schedule.batch_size,
                "recipe": recipe.kind,
                "precision": recipe.precision,
                "workers": recipe.workers,
                "threads": recipe.threads,
                "images_per_second": rate,
                "rounds": self.rates[subject, recipe],
                "times_conventional": rate / base[subject],
                "share_of_ceiling": rate * operations / ceiling[recipe.precision],
                **self.details.get((subject, recipe), {}),
            }
            if recipe.kind == CONVENTIONAL:
                record["loader_processes"] = self.best_loaders[subject][0]
            records.append(record)
        return records


def training_operations(model: ModelConfig, side: int) -> int:
    """Floating-point operations of convolutions and head to train on one image once.

    A multiply-add is two, and the backward pass is two forward passes: one for the gradients
    of the weights, one for those of the inputs.
    """
    network = build_network(model, 10)
    return 3 * 2 * count_multiply_adds(network, side, side)

"""Summaries of runs by network and depth, from which the paper's claims are judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from analysis import statistics
from analysis.load import DESCRIPTION
from analysis.mechanism import mean_responses
from analysis.networks import add_family, family_title
from analysis.paper import RATE_SUM
from analysis.quantity import BySeed, Measure, Quantity
from analysis.spreads import conditions, spread
from resnet_study.store.folder import COMPLETE, PROBES

# Fields of a cell that hold one value per run.
OF_RUNS = ("why_not", "untrained", "evaluated", "iterations", "growth", "response")
# Training errors in percent; how soon a network reaches them tells how fast it learns.
LEVELS = (50, 30, 20, 15, 10)


@dataclass(frozen=True)
class Cell:
    """A network at one depth under one protocol, summarised over its seeds.

    Attributes:
        family: Such as "residual-A", or "plain, from 20 layers".
        depth: In weighted layers.
        why_not: By seed, why a run has not started: "at chance" for its training loss, or the
            state of a run that has not finished.
        training: Sum of the learning rate over iterations, as a share of the paper's 3,376;
            the smallest over runs. For optimisers other than SGD, the rate is scaled so that its
            highest is the paper's 0.1.
        rate_fell: Whether the last learning rate is at most a tenth of the highest.
        falls_in_steps: Whether it fell in steps, so that it has a first phase.
        runs: Ids of its runs.
        final: Final errors in percent, and `gap`, test minus clean training error in points,
            by measure and seed.
        first_phase: The same over the end of the first phase of the learning rate.
        spread: The standard deviation over seeds to assume for each measure if there is one seed.
        untrained: Clean training error before any training, in percent.
        evaluated: Clean training error at the last evaluation, in percent.
        iterations: Iterations at the end of each run.
        reached: Iterations until the training error reaches a level in percent, by level and seed.
        gradients: By iteration and seed, log10 of the smallest gradient over layers, divided
            by the last layer's; each is the norm with respect to the activations times their
            standard deviation.
        growth: By seed, log10 of the largest such gradient before training.
        response: Mean over layers of the responses' standard deviation.
    """

    family: str
    depth: int
    training: float
    rate_fell: bool
    runs: tuple[str, ...]
    falls_in_steps: bool = True
    why_not: dict[int, str] = field(default_factory=dict)
    final: dict[str, BySeed] = field(default_factory=dict)
    first_phase: dict[str, BySeed] = field(default_factory=dict)
    spread: dict[str, float] = field(default_factory=dict)
    untrained: BySeed = field(default_factory=dict)
    evaluated: BySeed = field(default_factory=dict)
    iterations: BySeed = field(default_factory=dict)
    reached: dict[int, BySeed] = field(default_factory=dict)
    gradients: dict[int, BySeed] = field(default_factory=dict)
    growth: BySeed = field(default_factory=dict)
    response: BySeed = field(default_factory=dict)

    @property
    def started(self) -> bool:
        """Whether every run has finished and its training loss has left chance."""
        return not self.why_not

    @property
    def name(self) -> str:
        """The name for readers, as in "residual A at 56 layers"."""
        return f"{family_title(self.family)} at {self.depth} layers"

    def error(self, measure: str) -> Quantity:
        """A final error in percent, or the gap in points."""
        values, spread = self.final.get(measure, {}), self.spread.get(measure, np.nan)
        return self.quantity(measure, values, self.first_phase.get(measure), spread)

    @property
    def train(self) -> Quantity:
        """The final training error in percent."""
        return self.error("train_error")

    @property
    def test(self) -> Quantity:
        """The final test error in percent."""
        return self.error("test_error")

    def quantity(
        self, measure: str, values: BySeed, first: BySeed | None = None, spread: float = np.nan
    ) -> Quantity:
        """Another measure of this cell, by seed."""
        return Quantity({Measure(self.name, measure, values, first or {}, spread): 1.0})


@dataclass(frozen=True)
class Cells:
    """The cells of a study of one protocol.

    Attributes:
        cells: By family and depth.
        experiment: The name of the experiment that the runs belong to.
    """

    cells: dict[tuple[str, int], Cell]
    experiment: str = ""

    def __getitem__(self, key: tuple[str, int]) -> Cell:
        return self.cells[key]

    def depths(self, *families: str) -> list[int]:
        """Depths at which all these families were run, in ascending order."""
        each = [{depth for name, depth in self.cells if name == family} for family in families]
        return sorted(set.intersection(*each))

    def started(self, *families: str) -> list[int]:
        """Depths at which all these families have started, in ascending order."""
        return [d for d in self.depths(*families) if all(self[f, d].started for f in families)]

    def where(self, holds: Callable[[Cell], object]) -> Cells:
        """The cells that meet a condition."""
        found = {key: cell for key, cell in self.cells.items() if holds(cell)}
        return Cells(found, self.experiment)

    @property
    def options(self) -> list[str]:
        """The shortcut options that were run."""
        return [option for option in "ABC" if self.depths(f"residual-{option}")]

    @property
    def not_started(self) -> list[Cell]:
        """The cells that have not started, by family and depth."""
        return [self.cells[key] for key in sorted(self.cells) if not self.cells[key].started]


def cells_of(
    runs: pd.DataFrame, probes: pd.DataFrame | None = None, each: pd.DataFrame | None = None
) -> Cells:
    """Summarises runs by family and depth.

    Args:
        runs: As from `load_runs`, of one protocol.
        probes: As from `load_probes`, of the same runs.
        each: As `Study.each`, of the same study; tells of runs that have no row, such as one that
            failed at once, which count as not started.
    """
    if runs.empty:
        return Cells({})
    runs = add_family(runs)
    if probes is None:
        probes = pd.DataFrame(columns=[*DESCRIPTION, *PROBES])
    probes = probes[probes["state"].isin(COMPLETE)]
    gradients = _gradients(probes)
    known = _of_runs(runs, gradients, mean_responses(probes))
    measures = {
        "final": _errors(statistics.final_errors(runs)),
        "first_phase": _errors(statistics.first_phase_errors(runs)),
        "reached": _reached(runs).pivot_table("iterations", "run_id", "level"),
        "gradients": gradients.pivot_table("smallest", "run_id", "iteration"),
    }
    under = conditions(runs["settings"].iloc[0], runs["data"].iloc[0])
    cells = {}
    for _, part in known.groupby(["family", "depth"]):
        family, depth = str(part["family"].iloc[0]), int(part["depth"].iloc[0])
        found = {name: _by_seed(table, part) for name, table in measures.items()}
        means = {name: np.mean([*each.values()]) for name, each in found["final"].items() if each}
        cells[family, depth] = Cell(
            family=family,
            depth=depth,
            training=float(part["training"].min()),
            rate_fell=bool(part["rate_fell"].all()),
            falls_in_steps=bool(part["falls_in_steps"].all()),
            runs=tuple(sorted(part.index)),
            spread={n: spread(under, family, depth, n, float(mean)) for n, mean in means.items()},
            **_by_seed(part[list(OF_RUNS)], part),
            **found,
        )
    if each is not None:
        for run in each[~each["run_id"].isin(known.index)].to_dict("records"):
            key = run["family"], run["depth"]
            cell = cells.get(key) or Cell(*key, training=0.0, rate_fell=False, runs=())
            cells[key] = replace(cell, why_not=cell.why_not | {run["seed"]: run["state"]})
    return Cells(cells, str(runs["experiment"].iloc[0]))


def _by_seed(table: pd.DataFrame, part: pd.DataFrame) -> dict[Any, Any]:
    """For each column of a table of runs, the known values of some runs by their seed."""
    by_seed = table.reindex(part.index).set_axis(part["seed"])
    return {column: values.dropna().to_dict() for column, values in by_seed.items()}


def _errors(finals: pd.DataFrame) -> pd.DataFrame:
    """Errors and gap by run; without a clean training error, the gap is to the running one."""
    gap = finals["gap"].fillna(finals["test_error"] - finals["train_error"])
    return finals.assign(gap=gap).set_index("run_id")[[*statistics.ERRORS, "gap"]]


def _of_runs(runs: pd.DataFrame, gradients: pd.DataFrame, responses: pd.DataFrame) -> pd.DataFrame:
    """One row per run id, with the values that describe a run as a whole."""
    steps = runs["iteration"] - runs.groupby("run_id")["iteration"].shift().fillna(0)
    # Rates of other optimisers are not comparable with those of SGD; their highest rate counts as
    # the paper's.
    rate = runs["learning_rate"].fillna(0.0)
    highest = rate.groupby(runs["run_id"]).transform("max")
    foreign = runs["settings"].str.contains("schedule.optimizer=", regex=False)
    rate = rate.mask(foreign, 0.1 * rate / highest)
    runs = runs.assign(
        why_not=runs["state"].replace("finished", "at chance").mask(statistics.started_runs(runs)),
        training=steps * rate / RATE_SUM,
        untrained=runs["clean_train_error"].where(runs["iteration"] == 0),
    )
    groups = runs.groupby("run_id", sort=False)
    found = groups[["family", "depth", "seed", "why_not", "untrained"]].first()
    found["training"] = groups["training"].sum()
    # The tolerance allows for the rounding of a rate in metrics.csv.
    tenth = 0.1 * groups["learning_rate"].max() * (1 + 1e-9)
    found["rate_fell"] = groups["learning_rate"].last() <= tenth
    found["falls_in_steps"] = groups["phase"].max() > 0
    found["iterations"] = groups["iteration"].last()
    found["evaluated"] = groups["clean_train_error"].last()
    found["growth"] = gradients.query("iteration == 0").droplevel("iteration")["largest"]
    response = responses.set_index("run_id")["response"]
    found["response"] = response.where(response > 0)
    return found


def _reached(runs: pd.DataFrame) -> pd.DataFrame:
    """`iterations_to_reach`, without levels that a run had reached before its first row."""
    reached = statistics.iterations_to_reach(runs, LEVELS)
    first = reached["run_id"].map(runs.groupby("run_id")["train_error"].first())
    # The curves of Figure 6 begin at 20 % or just below.
    known = (first > reached["level"] - 1) & ~(reached["iterations"] <= 0)
    return reached[known].astype({"level": int})


def _gradients(probes: pd.DataFrame) -> pd.DataFrame:
    """The `smallest` and `largest` gradient over layers, by run and iteration, as log10.

    Gradients are divided by the last layer's. If one is zero, the smallest is 10^-45.
    """
    norm, variance = names = ["activation_gradient_norm", "forward_variance"]
    layers = probes[probes["measure"].isin(names)].astype({"value": float})
    table = layers.pivot_table("value", ["run_id", "iteration", "position"], "measure")
    table = table.reindex(columns=names).dropna().sort_index()
    size = table[norm] * np.sqrt(table[variance])
    looks = np.log10(size.clip(lower=1e-45)).groupby(["run_id", "iteration"])
    smallest, largest = looks.min() - looks.last(), looks.max() - looks.last()
    gone = size.groupby(["run_id", "iteration"]).min() <= 0
    return pd.DataFrame({"smallest": smallest.mask(gone, -45.0), "largest": largest})

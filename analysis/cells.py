"""Summaries over seeds, which the rules for the paper's claims take in place of curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from analysis.mechanism import mean_responses
from analysis.paper import RATE_SUM
from analysis.quantity import BySeed, Measure, Quantity
from analysis.spreads import conditions, spread
from analysis.statistics import (
    ERRORS,
    add_family,
    final_errors,
    first_phase_errors,
    iterations_to_reach,
    started_runs,
)

MEASURES = (*ERRORS, "gap")
# Training errors, in percent, whose first iteration tells how soon a network learns.
LEVELS = (50, 30, 20, 15, 10)


@dataclass(frozen=True)
class Cell:
    """A network at one depth under one protocol, summarised over its seeds.

    Attributes:
        family: Such as "residual-A", or "plain, from 20 layers".
        depth: In weighted layers.
        why_not: By seed, why a run has not started: "at chance", where its training loss is, or
            its state, where it has not finished.
        training: Sum of the learning rate over iterations, as a share of the paper's 3,376;
            the smallest over runs.
        rate_fell: Whether the last learning rate is at most a tenth of the highest.
        runs: Ids of its runs.
        final: Final errors in percent, and `gap`, test minus clean training error in points,
            by measure and seed.
        first_phase: The same over the end of the first phase of the learning rate.
        spread: The standard deviation over seeds assumed of each measure if there is one seed.
        untrained: Clean training error before any training, in percent.
        evaluated: Clean training error at the last evaluation, in percent.
        iterations: At the end.
        reached: Iterations until a training error of so many percent, by level and seed.
        gradients: By iteration and seed, log10 of the smallest gradient over layers, relative
            to the last layer's; each is the norm with respect to the activations times their
            standard deviation.
        growth: By seed, log10 of the largest of the same before training.
        response: Mean over layers of the responses' standard deviation.
    """

    family: str
    depth: int
    training: float
    rate_fell: bool
    runs: tuple[str, ...]
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
        """What a reader calls it, as in "residual A at 56 layers"."""
        return f"{self.family.replace('residual-', 'residual ')} at {self.depth} layers"

    def error(self, measure: str) -> Quantity:
        """A final error in percent, or the gap in points."""
        return self.quantity(
            measure,
            self.final.get(measure, {}),
            self.first_phase.get(measure, {}),
            self.spread.get(measure, np.nan),
        )

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
        """Something else about this cell, by seed."""
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

    @property
    def options(self) -> list[str]:
        """The shortcut options that were run."""
        return [option for option in "ABC" if self.depths(f"residual-{option}")]

    @property
    def not_started(self) -> list[Cell]:
        """The cells that have not started, by family and depth."""
        return [self.cells[key] for key in sorted(self.cells) if not self.cells[key].started]


def cells_of(runs: pd.DataFrame, probes: pd.DataFrame | None = None) -> Cells:
    """Summarises runs by family and depth.

    Args:
        runs: As from `load_runs`, of one protocol.
        probes: As from `load_probes`, of the same runs.
    """
    if runs.empty:
        return Cells({})
    runs = _complete(add_family(runs))
    ends, first = final_errors(runs), first_phase_errors(runs)
    for errors in (ends, first):
        # Figure 6 has no clean training error; its running one takes the place.
        errors["gap"] = errors["gap"].fillna(errors["test_error"] - errors["train_error"])
    found = _of_runs(runs)
    reached = _reached(runs)
    gradients, responses = _gradients(probes), _responses(probes)
    of_study = runs.iloc[0]
    under = conditions(of_study["settings"], of_study["data"])
    cells = {}
    for (family, depth), part in found.groupby(["family", "depth"]):
        seeds = dict(zip(part.index, part["seed"], strict=True))
        final = {name: _by_seed(ends, name, seeds) for name in MEASURES}
        levels = reached[reached["run_id"].isin(seeds)].groupby("level")
        looks = gradients[gradients["run_id"].isin(seeds)].groupby("iteration")
        cells[family, int(depth)] = Cell(
            family=family,
            depth=int(depth),
            training=float(part["training"].min()),
            rate_fell=bool(part["rate_fell"].all()),
            runs=tuple(sorted(seeds)),
            why_not=_by_seed(part.reset_index(), "why_not", seeds, str),
            final=final,
            first_phase={name: _by_seed(first, name, seeds) for name in MEASURES},
            spread={
                name: spread(under, family, int(depth), name, float(np.mean(list(values.values()))))
                for name, values in final.items()
                if values
            },
            **{
                name: _by_seed(part.reset_index(), name, seeds)
                for name in ("untrained", "evaluated", "iterations")
            },
            reached={int(level): _by_seed(rows, "iterations", seeds) for level, rows in levels},
            gradients={int(at): _by_seed(rows, "smallest", seeds) for at, rows in looks},
            growth=_by_seed(gradients[gradients["iteration"] == 0], "largest", seeds),
            response=_by_seed(responses, "response", seeds),
        )
    return Cells(cells, str(of_study["experiment"]))


def _complete(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with the columns that only frames of `load_runs` must have."""
    missing = {"phase": 0, "learning_rate": np.nan}
    return runs.assign(**{k: value for k, value in missing.items() if k not in runs})


def _by_seed(
    frame: pd.DataFrame, column: str, seeds: dict[str, int], kind: Callable[[Any], Any] = float
) -> dict[int, Any]:
    """A column of a frame with one row per run, by seed, where there is a value."""
    rows = frame[frame["run_id"].isin(seeds)].dropna(subset=[column])
    pairs = zip(rows["run_id"], rows[column], strict=True)
    return {int(seeds[run_id]): kind(value) for run_id, value in pairs}


def _of_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per run, by id: what is known of a run as a whole."""
    state = runs["state"].mask(runs["state"] == "finished", "at chance")
    runs = runs.assign(why_not=state.mask(started_runs(runs)))
    groups = runs.groupby("run_id", sort=False)
    found = groups[["family", "depth", "seed", "why_not"]].first()
    steps = runs["iteration"].sub(groups["iteration"].shift().fillna(0))
    rates = runs["learning_rate"].fillna(0.0)
    found["training"] = (steps * rates).groupby(runs["run_id"]).sum() / RATE_SUM
    # Rates that went through a file still count as a tenth.
    lowest = 0.1 * groups["learning_rate"].max() * (1 + 1e-9)
    found["rate_fell"] = groups["learning_rate"].last() <= lowest
    found["iterations"] = groups["iteration"].last()
    found["evaluated"] = groups["clean_train_error"].last()
    before = runs[runs["iteration"] == 0].set_index("run_id")
    found["untrained"] = before["clean_train_error"].reindex(found.index)
    return found


def _reached(runs: pd.DataFrame) -> pd.DataFrame:
    """`iterations_to_reach`, without levels that a run had passed before its first row."""
    reached = iterations_to_reach(runs, LEVELS)
    first = reached["run_id"].map(runs.groupby("run_id")["train_error"].first())
    # Figure 6 begins at 20 %, with rows just below that.
    return reached[first > reached["level"] - 1]


def _finished(probes: pd.DataFrame | None, measures: Sequence[str]) -> pd.DataFrame | None:
    if probes is None or probes.empty:
        return None
    chosen = probes["measure"].isin(measures) & (probes["state"] == "finished")
    return probes[chosen] if chosen.any() else None


def _gradients(probes: pd.DataFrame | None) -> pd.DataFrame:
    """`run_id, iteration`, and log10 of the `smallest` and `largest` gradient over layers.

    Gradients are relative to the last layer's. Zero counts as 10^-45.
    """
    names = ["activation_gradient_norm", "forward_variance"]
    layers = _finished(probes, names)
    if layers is None:
        return pd.DataFrame(columns=["run_id", "iteration", "smallest", "largest"])
    keys = ["run_id", "iteration", "position"]
    wide = layers.pivot_table(index=keys, columns="measure", values="value").dropna().sort_index()
    size = wide[names[0]] * np.sqrt(wide[names[1]])
    looks = np.log10(size.clip(lower=1e-45)).groupby(["run_id", "iteration"])
    last = looks.last()
    return pd.DataFrame(
        {"smallest": looks.min() - last, "largest": looks.max() - last}
    ).reset_index()


def _responses(probes: pd.DataFrame | None) -> pd.DataFrame:
    """`run_id` and the mean `response` at its last look."""
    found = _finished(probes, ["response_deviation"])
    return pd.DataFrame(columns=["run_id", "response"]) if found is None else mean_responses(found)

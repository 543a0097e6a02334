"""Weighted sums of measures, seed by seed, with their bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from analysis.samples import interval

BySeed = Mapping[int, float]

# With one seed, bounds lie this many assumed standard deviations from the value.
DEVIATIONS = 3.0


@dataclass(frozen=True)
class Measure:
    """One measure of one cell, by seed.

    Attributes:
        cell: Names the cell, as in "plain at 56 layers".
        name: Such as "train_error".
        values: At the end of training, by seed.
        first_phase: The same over the end of the first phase of the learning rate; empty
            where the rate never falls.
        spread: Standard deviation over seeds to assume for a single seed.
    """

    cell: str
    name: str
    values: BySeed = field(compare=False)
    first_phase: BySeed = field(compare=False, default_factory=dict)
    spread: float = field(compare=False, default=math.nan)


class Quantity:
    """A weighted sum of measures, such as `deep - shallow` or `0.25 * gain`."""

    def __init__(self, weights: Mapping[Measure, float]) -> None:
        self.weights = dict(weights)

    def __add__(self, other: Quantity) -> Quantity:
        one, two = self.weights, other.weights
        return Quantity({each: one.get(each, 0.0) + two.get(each, 0.0) for each in one | two})

    def __sub__(self, other: Quantity) -> Quantity:
        return self + -1.0 * other

    def __rmul__(self, factor: float) -> Quantity:
        return Quantity({measure: factor * weight for measure, weight in self.weights.items()})

    def __str__(self) -> str:
        return self.words()

    def words(self, confidence: float = 0.95) -> str:
        """The value in points with its bounds, as text."""
        low, high = self.bounds(confidence)
        if self.n == 1:
            return f"{self.value:+.1f} points (one seed, taken as ±{high - self.value:.1f})"
        return f"{self.value:+.1f} points [{low:+.1f}, {high:+.1f}]"

    def _sums(self, values: Mapping[Measure, BySeed]) -> np.ndarray:
        """The weighted sum for each seed that all measures have."""
        seeds = sorted(set.intersection(*(set(each) for each in values.values())))
        return np.array([sum(w * values[m][s] for m, w in self.weights.items()) for s in seeds])

    @property
    def by_seed(self) -> np.ndarray:
        """The value for each seed that all measures have, by ascending seed."""
        return self._sums({measure: measure.values for measure in self.weights})

    @property
    def n(self) -> int:
        """Number of seeds."""
        return len(self.by_seed)

    @property
    def value(self) -> float:
        """The mean over seeds."""
        return float(self.by_seed.mean())

    @property
    def in_first_phase(self) -> float | None:
        """The mean at the end of the learning rate's first phase; None without such a phase."""
        sums = self._sums({measure: measure.first_phase for measure in self.weights})
        return float(sums.mean()) if len(sums) else None

    def bounds(self, confidence: float = 0.95) -> tuple[float, float]:
        """Student's t interval over seeds, paired by seed.

        With one seed, the bounds are three of the measures' assumed standard deviations away,
        whatever the `confidence`.
        """
        found = interval(self.by_seed, confidence)
        if found is not None:
            return found
        half = DEVIATIONS * math.hypot(*(w * m.spread for m, w in self.weights.items()))
        return self.value - half, self.value + half

    def low(self, confidence: float = 0.95) -> float:
        """The lower of `bounds`."""
        return self.bounds(confidence)[0]

    def high(self, confidence: float = 0.95) -> float:
        """The upper of `bounds`."""
        return self.bounds(confidence)[1]

"""The form of a claim and of its outcome, and the conditions that the rules share."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from analysis.cells import Cell, Cells
from analysis.quantity import DEVIATIONS, Quantity

# Shares of the paper's training, a little below a quarter and a half to allow for rounding.
QUARTER, HALF = 0.24, 0.49
SEEDS = 3  # needed to contradict a claim
MARGIN = 0.5  # points of error that count as no difference
WITHIN = 0.90  # confidence where an effect must not exceed a margin: one-sided at 5 %
CLOSING = 0.75  # an effect below this share of that at the end of the first phase is closing
SPANS = "the interval spans the margin"
UNKNOWN = "the rate falls in every iteration, so whether the gap is closing is unknown"
NEEDS_HALF = "less than half of the paper's training"


class Leaning(StrEnum):
    """What the data speak for; whether they suffice to contradict is decided later."""

    FOR = "for"
    AGAINST = "against"
    NEITHER = "neither"


class NotTestable(Exception):  # noqa: N818 - an answer, not an error
    """The runs cannot test a claim; the message says why."""


class NotRun(NotTestable):
    """The runs that a rule needs were not trained."""

    def __init__(self, what: str) -> None:
        super().__init__(f"not run: {what}")


@dataclass(frozen=True)
class Outcome:
    """What a rule finds in the cells.

    Attributes:
        leaning: For the claim, against it, or neither.
        finding: The numbers in words.
        effect: The quantity that the claim is about.
        rests_on: The cells that decided.
        confidence: Confidence of the effect's interval.
        n: The smallest number of seeds behind the decision; None for the effect's own number.
        unit: The unit of the effect.
        towards: The sign of a change of the effect that speaks for the claim; 0 for claims
            whose effect does not shrink with more training.
        closing: The quantity that may shrink with more training, if it is not the effect.
        unless: Reasons that leave the claim undecided although the data speak for it.
        against_unless: Likewise for data that speak against it, in addition to the reasons that
            hold for all claims.
        between: Reasons why the data speak neither for nor against the claim.
    """

    leaning: Leaning
    finding: str
    effect: Quantity
    rests_on: Sequence[Cell]
    confidence: float = 0.95
    n: int | None = None
    unit: str = "points"
    towards: int = 0
    closing: Quantity | None = None
    unless: Sequence[str] = ()
    against_unless: Sequence[str] = ()
    between: Sequence[str] = ()

    @property
    def seeds(self) -> int:
        """The number of seeds."""
        return self.n or self.effect.n

    @property
    def training(self) -> float:
        """The training of the least trained run that decided, as a share of the paper's."""
        return training_of(self.rests_on)

    def too_little(self) -> list[str]:
        """Reasons to expect that more training would change the outcome."""
        moving = self.closing or self.effect
        now = moving.value
        earlier = now if (first := moving.in_first_phase) is None else first
        closing = self.towards * (now - earlier) > 0 and abs(now) < CLOSING * abs(earlier)
        training = f"{percent(self.training)} of the paper's training, a quarter is needed"
        fell = all(cell.rate_fell for cell in self.rests_on)
        smooth = fell and not all(cell.falls_in_steps for cell in self.rests_on)
        found = {
            training: self.training < QUARTER,
            UNKNOWN: bool(self.towards) and smooth,
            "the learning rate has not fallen to a tenth": not fell,
            f"the gap is closing, from {earlier:+.1f} in the rate's first phase": closing,
        }
        return [reason for reason, holds in found.items() if holds]

    def reasons(self) -> list[str]:
        """Why the claim is undecided; empty if the outcome decides it."""
        if self.leaning == Leaning.FOR:
            return list(self.unless)
        if self.leaning == Leaning.NEITHER:
            return [*[_few(1)] * (self.seeds == 1), *self.between] or [SPANS]
        seeds = [_few(self.seeds)] if self.seeds < SEEDS else []
        return [*seeds, *self.too_little(), *self.against_unless]


@dataclass(frozen=True)
class Claim:
    """One claim of He et al. 2015, and the rule that judges it.

    Attributes:
        text: A module's docstring: the claim in a sentence, then paragraphs that begin with
            "Quantity:", "Testable:", "Supported:", "Against:" and "Paper:".
        number: The claim's number, 1 to 10.
        rule: Function of the cells and a shortcut option, such as "A", that returns an outcome
            or raises `NotTestable`.
        part: "a", "b" and so on, if a claim has several rules.
        experiment: The shipped experiment that tests the claim.
        at_scale: The shipped experiment that tests it with the paper's training.
        each_option: Whether each shortcut option gets a verdict of its own.
    """

    text: str
    number: int
    rule: Callable[[Cells, str], Outcome]
    part: str = ""
    experiment: str = "quick"
    at_scale: str = "figure6"
    each_option: bool = False

    @property
    def title(self) -> str:
        """The claim in a sentence."""
        return self.text.partition("\n")[0]

    def says(self, heading: str) -> str:
        """The paragraph of the text that begins with a heading, without the heading."""
        paragraphs = (" ".join(part.split()) for part in self.text.split("\n\n"))
        (found,) = (p for p in paragraphs if p.startswith(f"{heading}: "))
        return found.removeprefix(f"{heading}: ")


def _few(n: int) -> str:
    return "one seed" if n == 1 else f"only {n} seeds; {SEEDS} are needed"


def training_of(cells: Sequence[Cell]) -> float:
    """The training of the least trained of some cells, as a share of the paper's."""
    return min(cell.training for cell in cells)


def did_not_start(cells: Cells, *families: str) -> list[str]:
    """A text for each network of these families, or of all, that did not start or finish."""
    words = {True: "did not start", False: "not finished"}
    return [
        f"{words[{*cell.why_not.values()} <= {'at chance', 'diverged'}]}: {cell.name}"
        for cell in cells.not_started
        if cell.family in families or not families
    ]


def need_started(cells: Cells, families: Sequence[str], count: int, what: str) -> list[int]:
    """The depths at which all these families have started; at least `count`.

    Raises:
        NotTestable: There are fewer: they were not run, or they did not start.
    """
    if len(cells.depths(*families)) < count:
        raise NotRun(what)
    if len(depths := cells.started(*families)) < count:
        raise NotTestable("; ".join(did_not_start(cells, *families)))
    return depths


def need_half(cells: Sequence[Cell]) -> None:
    """Raises `NotTestable` where the cells have less than half of the paper's training."""
    if (training := training_of(cells)) < HALF:
        known = f"{percent(training)} of the paper's training"
        raise NotTestable(f"too short: {known}, a half is needed")


def need_seeds(quantities: Sequence[Quantity]) -> None:
    """Raises `NotRun` where no seed has all the measures of a quantity."""
    for quantity in quantities:
        if quantity.n == 0:
            named = ", ".join(f"{m.name} of {m.cell}" for m in quantity.weights)
            raise NotRun(f"a common seed for {named}")


def leaning(supports: bool, against: bool) -> Leaning:
    """What the data say, from a claim's conditions; `against` counts first."""
    return Leaning.AGAINST if against else Leaning.FOR if supports else Leaning.NEITHER


def sign(effect: Quantity, confidence: float = 0.95) -> Leaning:
    """For the claim where an effect is above zero by its bounds, against it where below."""
    low, high = effect.bounds(confidence)
    return leaning(low > 0, against=high < 0)


def equivalent(change: Quantity) -> bool:
    """Whether a change is zero within half a point."""
    low, high = change.bounds(WITHIN)
    return low > -MARGIN and high < MARGIN


def bonferroni(count: int) -> float:
    """The confidence at which one of several bounds is wrong in 5 % of studies."""
    return 1 - (1 - WITHIN) / count


def one_seed(distance: float) -> float:
    """The spread of two measures whose difference, from one seed, has bounds this far away."""
    return distance / DEVIATIONS / math.sqrt(2)


def percent(share: float) -> str:
    """A share of the paper's training in words."""
    return f"{100 * share:.{1 if share < 0.0995 else 0}f} %"

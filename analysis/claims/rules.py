"""What the rules of all claims share: their form, and how a verdict follows from an outcome."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from analysis.cells import Cell, Cells
from analysis.quantity import DEVIATIONS, Quantity

# Shares of the paper's training, a little below a quarter and a half: rounding never decides.
QUARTER, HALF = 0.24, 0.49
SEEDS = 3  # that a contradiction needs
MARGIN = 0.5  # points of error that count as no difference
WITHIN = 0.90  # confidence where an effect must not exceed a margin: one-sided at 5 %
CLOSING = 0.75  # an effect below this share of that at the end of the first phase is closing
SPANS = "the interval spans the margin"
UNKNOWN = "the rate falls in every iteration: whether the gap is closing is not known"
NEEDS_HALF = "less than half of the paper's training"
SHIPPED = Path(__file__).resolve().parents[2] / "conf" / "experiment"


class Leaning(StrEnum):
    """What the data say, before it is asked whether they are enough to contradict."""

    FOR = "for"
    AGAINST = "against"
    NEITHER = "neither"


class Ruling(StrEnum):
    """A verdict in a word, in the order in which verdicts are shown."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided"
    NOT_TESTABLE = "not testable"


class NotTestable(Exception):  # noqa: N818 - an answer, not an error
    """The runs cannot test a claim; the message says why."""


class NotRun(NotTestable):
    """What a rule needs is not there."""

    def __init__(self, what: str) -> None:
        super().__init__(f"not run: {what}")


@dataclass(frozen=True)
class Outcome:
    """What a rule finds in the cells.

    Attributes:
        leaning: For the claim, against it, or neither.
        finding: The numbers in words.
        effect: What the claim is about.
        rests_on: The cells that decided.
        confidence: Of the interval of the effect.
        n: The smallest number of seeds that the rule looks at; None for that of the effect.
        unit: The unit of the effect.
        towards: The sign of a change of the effect that speaks for the claim; 0 where a claim
            does not ask whether it is closing.
        closing: What may be closing, where it is not the effect.
        unless: What keeps an outcome that speaks for the claim undecided.
        against_unless: What keeps one that speaks against it undecided, beside what holds for
            all claims.
        between: Why the data say neither, beside the usual reasons.
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
        """The least training of all runs that decided, as a share of the paper's."""
        return training_of(self.rests_on)

    def too_little(self) -> list[str]:
        """What more training may change."""
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
        """Why it does not decide; none where it does."""
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
        text: The claim in a sentence, then paragraphs that begin with "Quantity:", "Testable:",
            "Supported:", "Against:" and "Paper:", as the page prints them: a module's docstring.
        number: As in the project's list of ten.
        rule: From cells and a shortcut option, such as "A", to an outcome. It raises
            `NotTestable`.
        part: Where a claim has several rules, "a", "b" and so on.
        experiment: The shipped experiment that tests the claim.
        at_scale: The one that tests it with the paper's training.
        each_option: Whether each shortcut option is judged by itself.
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
        """The paragraph of the text that begins with a heading, without it."""
        paragraphs = (" ".join(part.split()) for part in self.text.split("\n\n"))
        (found,) = (p for p in paragraphs if p.startswith(f"{heading}: "))
        return found.removeprefix(f"{heading}: ")


@dataclass(frozen=True)
class Verdict:
    """What the runs say of a claim.

    Attributes:
        label: Names claim, part and option, as in "1", "5a" and "4-A".
        claim: The claim itself.
        ruling: The verdict in a word.
        reasons: Why it is undecided or not testable.
        outcome: What the rule found; None where the claim is not testable.
        command: What would decide it; None where it is decided.
        missing: Whether what the claim needs was not run.
    """

    label: str
    claim: Claim
    ruling: Ruling
    reasons: Sequence[str] = ()
    outcome: Outcome | None = None
    command: str | None = None
    missing: bool = False

    @property
    def statement(self) -> str:
        """The verdict with its reasons, in the words that are used everywhere."""
        if self.outcome and self.ruling == Ruling.SUPPORTED and self.outcome.training < QUARTER:
            return f"{self.ruling} at {percent(self.outcome.training)} of the paper's training"
        against = self.outcome is not None and self.outcome.leaning == Leaning.AGAINST
        said = " (the runs speak against it)" * (against and self.ruling == Ruling.UNDECIDED)
        return f"{self.ruling}{said}: {'; '.join(self.reasons)}".removesuffix(": ")


def judged(claim: Claim, cells: Cells) -> list[Verdict]:
    """Judges one claim: once, or once for each shortcut option that was run."""
    options = cells.options or ["A"]
    verdicts = (_judged(claim, cells, option) for option in options)
    if claim.each_option:
        return [replace(v, label=f"{v.label}-{o}") for v, o in zip(verdicts, options, strict=True)]
    # The first option of which everything needed was run.
    first = next(verdicts)
    return [next((v for v in (first, *verdicts) if not v.missing), first)]


def _judged(claim: Claim, cells: Cells, option: str) -> Verdict:
    label = f"{claim.number}{claim.part}"
    at_scale = f"python -m resnet_study experiment={claim.at_scale} seed=0,1,2"
    try:
        outcome = claim.rule(cells, option)
    except NotTestable as reason:
        missing = isinstance(reason, NotRun)
        here = f"python -m resnet_study experiment={claim.experiment} seed=0,1,2"
        command = here if missing else at_scale
        return Verdict(label, claim, Ruling.NOT_TESTABLE, [str(reason)], None, command, missing)
    reasons = outcome.reasons()
    if outcome.leaning != Leaning.NEITHER and not reasons:
        ruling = Ruling.SUPPORTED if outcome.leaning == Leaning.FOR else Ruling.CONTRADICTED
        return Verdict(label, claim, ruling, (), outcome)
    one, alone = outcome.seeds == 1, outcome.seeds < SEEDS and len(reasons) == 1
    more = alone or (outcome.leaning == Leaning.NEITHER and (one or not outcome.between))
    command = _more_seeds(cells.experiment, outcome.seeds) if more else at_scale
    return Verdict(label, claim, Ruling.UNDECIDED, reasons, outcome, command)


def _few(n: int) -> str:
    return "one seed" if n == 1 else f"only {n} seeds; {SEEDS} are needed"


def _more_seeds(experiment: str, n: int) -> str:
    seeds = ",".join(str(seed) for seed in range(max(SEEDS, 2 * n)))
    if (SHIPPED / f"{experiment}.yaml").is_file():
        return f"python -m resnet_study experiment={experiment} seed={seeds}"
    return f"the command that made these runs, with seed={seeds}"


def training_of(cells: Sequence[Cell]) -> float:
    """The least training of some cells, as a share of the paper's."""
    return min(cell.training for cell in cells)


def did_not_start(cells: Cells, *families: str) -> list[str]:
    """A text for each network of these families, or of all, that did not start or finish."""
    found = [cell for cell in cells.not_started if cell.family in families or not families]
    words = {True: "did not start", False: "not finished"}
    ended = [{*cell.why_not.values()} <= {"at chance", "diverged"} for cell in found]
    return [f"{words[end]}: {cell.name}" for end, cell in zip(ended, found, strict=True)]


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
    """Raises `NotRun` where a quantity has no seed of which all its measures are known."""
    for quantity in quantities:
        if quantity.n == 0:
            named = ", ".join(f"{m.name} of {m.cell}" for m in quantity.weights)
            raise NotRun(f"the same seed of {named}")


def equivalent(change: Quantity) -> bool:
    """Whether a change is zero within half a point."""
    low, high = change.bounds(WITHIN)
    return low > -MARGIN and high < MARGIN


def sign(effect: Quantity, confidence: float = 0.95) -> Leaning:
    """For where an effect is above zero by its bounds, against where it is below."""
    low, high = effect.bounds(confidence)
    return Leaning.FOR if low > 0 else Leaning.AGAINST if high < 0 else Leaning.NEITHER


def bonferroni(count: int) -> float:
    """The confidence at which one of several bounds is wrong in 5 % of studies."""
    return 1 - (1 - WITHIN) / count


def one_seed(distance: float) -> float:
    """The spread of each of two measures of which, for one seed, the bounds lie so far away."""
    return distance / DEVIATIONS / math.sqrt(2)


def percent(share: float) -> str:
    """A share of the paper's training in words."""
    return f"{100 * share:.{1 if share < 0.0995 else 0}f} %"

"""What the rules of all claims share: their form, and how a verdict follows from an outcome."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from analysis.cells import Cell, Cells
from analysis.quantity import Quantity

# Shares of the paper's training, called a quarter and a half. They lie below, so that rounding
# never decides.
QUARTER, HALF = 0.24, 0.49
# Seeds that a contradiction needs.
SEEDS = 3
# Points of error that count as no difference.
MARGIN = 0.5
# Where an effect must not exceed a margin, the interval is one-sided at 5 %.
WITHIN = 0.90
# An effect that is below this share of what it was at the end of the first phase is closing.
CLOSING = 0.75

SPANS = "the interval spans the margin"

SHIPPED = Path(__file__).resolve().parents[2] / "conf" / "experiment"


class Leaning(StrEnum):
    """What the data speak, before it is asked whether they can bear it."""

    FOR = "for"
    AGAINST = "against"
    NEITHER = "neither"


class Ruling(StrEnum):
    """A verdict in a word, in the order in which verdicts are shown."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided"
    NOT_TESTABLE = "not testable"


class NotTestable(Exception):
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
        effect: The number that the claim is about.
        interval: Its bounds.
        n: The smallest number of seeds of all contrasts that the rule looks at.
        rests_on: The cells that decided.
        unit: The unit of effect and interval.
        earlier: The effect at the end of the first phase of the learning rate, where a claim
            asks whether it is closing.
        towards: The sign of a change of the effect that speaks for the claim.
        unless: What keeps an outcome that speaks for the claim undecided.
        against_unless: What keeps one that speaks against it undecided, beside what holds for
            all claims.
        between: Why the data speak for neither; None for the usual reasons.
    """

    leaning: Leaning
    finding: str
    effect: float
    interval: tuple[float, float]
    n: int
    rests_on: Sequence[Cell]
    unit: str = "points"
    earlier: float | None = None
    towards: int = 0
    unless: Sequence[str] = ()
    against_unless: Sequence[str] = ()
    between: str | None = None

    @property
    def training(self) -> float:
        """The least training of all runs that decided, as a share of the paper's."""
        return training_of(self.rests_on)

    @property
    def closing(self) -> bool:
        """Whether the effect is moving towards the claim."""
        if self.earlier is None:
            return False
        moved = self.towards * (self.effect - self.earlier) > 0
        return moved and abs(self.effect) < CLOSING * abs(self.earlier)


@dataclass(frozen=True)
class Claim:
    """One claim of He et al. 2015, and the rule that judges it.

    Attributes:
        number: As in the project's list of ten.
        title: The claim in words.
        quantity: What the rule looks at.
        testable: What must have been run.
        supported: When the runs support the claim.
        against: When they speak against it.
        paper: What the paper found, with its numbers and their place.
        experiment: The shipped experiment that tests the claim.
        at_scale: The one that tests it with the paper's training.
        rule: From cells and a shortcut option, such as "A", to an outcome. It raises
            `NotTestable`.
        part: Where a claim has several rules, "a", "b" and so on.
        each_option: Whether each shortcut option is judged by itself.
    """

    number: int
    title: str
    quantity: str
    testable: str
    supported: str
    against: str
    paper: str
    experiment: str
    at_scale: str
    rule: Callable[[Cells, str], Outcome]
    part: str = ""
    each_option: bool = False


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
    """

    label: str
    claim: Claim
    ruling: Ruling
    reasons: Sequence[str] = ()
    outcome: Outcome | None = None
    command: str | None = None

    @property
    def statement(self) -> str:
        """The verdict with its reasons, in the words that are used everywhere."""
        if self.outcome and self.ruling == Ruling.SUPPORTED and self.outcome.training < QUARTER:
            return f"{self.ruling} at {percent(self.outcome.training)} of the paper's training"
        if not self.reasons:
            return str(self.ruling)
        against = self.outcome is not None and self.outcome.leaning == Leaning.AGAINST
        said = " (the runs speak against it)" if against else ""
        return f"{self.ruling}{said}: {'; '.join(self.reasons)}"


def judged(claim: Claim, cells: Cells) -> list[Verdict]:
    """Judges one claim: once, or once for each shortcut option that was run."""
    options = cells.options or ["A"]
    verdicts = [_judged(claim, cells, option) for option in options]
    if claim.each_option:
        return [replace(v, label=f"{v.label}-{o}") for v, o in zip(verdicts, options, strict=True)]
    # The first option of which everything needed was run.
    return [next((v for v in verdicts if not _not_run(v)), verdicts[0])]


def _not_run(verdict: Verdict) -> bool:
    return verdict.ruling == Ruling.NOT_TESTABLE and verdict.reasons[0].startswith("not run")


def _judged(claim: Claim, cells: Cells, option: str) -> Verdict:
    label = f"{claim.number}{claim.part}"
    try:
        outcome = claim.rule(cells, option)
    except NotRun as missing:
        command = f"python -m resnet_study experiment={claim.experiment} seed=0,1,2"
        return Verdict(label, claim, Ruling.NOT_TESTABLE, [str(missing)], None, command)
    except NotTestable as reason:
        return Verdict(label, claim, Ruling.NOT_TESTABLE, [str(reason)], None, at_scale(claim))
    reasons = _reasons(outcome)
    if outcome.leaning != Leaning.NEITHER and not reasons:
        ruling = Ruling.SUPPORTED if outcome.leaning == Leaning.FOR else Ruling.CONTRADICTED
        return Verdict(label, claim, ruling, (), outcome)
    seeds_alone = {_few(outcome.n), SPANS}.issuperset(reasons)
    command = more_seeds(cells.experiment, outcome.n) if seeds_alone else at_scale(claim)
    return Verdict(label, claim, Ruling.UNDECIDED, reasons, outcome, command)


def _reasons(outcome: Outcome) -> list[str]:
    """Why an outcome does not decide; none where it does."""
    if outcome.leaning == Leaning.FOR:
        return list(outcome.unless)
    if outcome.leaning == Leaning.NEITHER:
        return [outcome.between or (_few(1) if outcome.n == 1 else SPANS)]
    seeds = [_few(outcome.n)] if outcome.n < SEEDS else []
    return [*seeds, *filter(None, _too_little(outcome)), *outcome.against_unless]


def _few(n: int) -> str:
    return "one seed" if n == 1 else f"{n} seeds, {SEEDS} are needed"


def _too_little(outcome: Outcome) -> tuple[str, str, str]:
    """What more training may change, each a reason or empty."""
    training = f"{percent(outcome.training)} of the paper's training, a quarter is needed"
    fell = all(cell.rate_fell for cell in outcome.rests_on)
    return (
        training * (outcome.training < QUARTER),
        "the learning rate has not fallen to a tenth" * (not fell),
        f"the gap is closing: {outcome.earlier:+.1f} at the end of the first phase of the rate"
        if outcome.closing
        else "",
    )


def at_scale(claim: Claim) -> str:
    """The command that runs a claim's experiment with the paper's training."""
    return f"python -m resnet_study experiment={claim.at_scale} seed=0,1,2"


def more_seeds(experiment: str, n: int) -> str:
    """The command that adds seeds to the runs that were judged."""
    seeds = ",".join(str(seed) for seed in range(max(SEEDS, 2 * n)))
    if (SHIPPED / f"{experiment}.yaml").is_file():
        return f"python -m resnet_study experiment={experiment} seed={seeds}"
    return f"the command that made these runs, with seed={seeds}"


def training_of(cells: Sequence[Cell]) -> float:
    """The least training of some cells, as a share of the paper's."""
    return min(cell.training for cell in cells)


def need_started(cells: Cells, families: Sequence[str], count: int, what: str) -> list[int]:
    """The depths at which all these families have started; at least `count`.

    Raises:
        NotTestable: There are fewer: they were not run, or they did not start.
    """
    if len(cells.depths(*families)) < count:
        raise NotRun(what)
    depths = cells.started(*families)
    if len(depths) < count:
        failed = [cell.name for cell in cells.not_started if cell.family in families]
        raise NotTestable(f"did not start: {', '.join(failed)}")
    return depths


def need_training(cells: Sequence[Cell], share: float, words: str) -> None:
    """Raises `NotTestable` where the cells have less than a share of the paper's training."""
    if (training := training_of(cells)) < share:
        raise NotTestable(f"too short: {percent(training)} of the paper's training, {words}")


def need_values(quantity: Quantity, what: str) -> Quantity:
    """The quantity, if some seed has all of its measures.

    Raises:
        NotTestable: None has.
    """
    if quantity.n == 0:
        raise NotRun(what)
    return quantity


def least_n(quantities: Sequence[Quantity]) -> int:
    """The smallest number of seeds."""
    return min(quantity.n for quantity in quantities)


def shown(quantity: Quantity, confidence: float = 0.95, unit: str = " points") -> str:
    """A quantity with its interval in words."""
    low, high = quantity.bounds(confidence)
    if quantity.n == 1:
        return f"{quantity.value:+.1f}{unit} (one seed, taken as ±{high - quantity.value:.1f})"
    return f"{quantity.value:+.1f}{unit} [{low:+.1f}, {high:+.1f}]"


def percent(share: float) -> str:
    """A share of the paper's training in words."""
    return f"{100 * share:.{1 if share < 0.0995 else 0}f} %"

"""How a verdict follows from what a claim's rule finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from analysis.cells import Cells
from analysis.claims import rules
from analysis.claims.rules import Claim, Leaning, Outcome

SHIPPED = Path(__file__).resolve().parents[2] / "conf" / "experiment"
# These train options A and B only; the experiments that train option C as well.
WITH_OPTION_C = {"quick": "options", "figure6": "options_paper"}


class Ruling(StrEnum):
    """A verdict in a word, in the order in which verdicts are shown."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided"
    NOT_TESTABLE = "not testable"


@dataclass(frozen=True)
class Verdict:
    """What the runs say about a claim.

    Attributes:
        label: Claim, part and option, as in "1", "5a" and "4-A".
        claim: The claim itself.
        ruling: The verdict in a word.
        reasons: Why the claim is undecided or not testable.
        outcome: What the rule found; None if the claim is not testable.
        command: The command that trains what would decide it; None if it is decided.
        missing: Whether runs that the rule needs were not trained.
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
        """The verdict with its reasons, as pages, tables and commands print it."""
        if (
            self.outcome
            and self.ruling == Ruling.SUPPORTED
            and self.outcome.training < rules.QUARTER
        ):
            return (
                f"{self.ruling} at {rules.percent(self.outcome.training)} of the paper's training"
            )
        against = self.outcome is not None and self.outcome.leaning == Leaning.AGAINST
        said = " (the runs speak against it)" * (against and self.ruling == Ruling.UNDECIDED)
        return f"{self.ruling}{said}: {'; '.join(self.reasons)}".removesuffix(": ")


def judged(claim: Claim, cells: Cells) -> list[Verdict]:
    """Judges one claim: for each shortcut option that was run, or for the first complete one."""
    found = [_judged(claim, cells, option) for option in cells.options or ["A"]]
    return found if claim.each_option else [min(found, key=lambda verdict: verdict.missing)]


def _judged(claim: Claim, cells: Cells, option: str) -> Verdict:
    label = f"{claim.number}{claim.part}{f'-{option}' * claim.each_option}"
    instead = WITH_OPTION_C if option == "C" else {}
    at_scale = instead.get(claim.at_scale, claim.at_scale)
    try:
        outcome = claim.rule(cells, option)
    except rules.NotTestable as reason:
        missing = isinstance(reason, rules.NotRun)
        small = instead.get(claim.experiment, claim.experiment)
        command = _command(small if missing else at_scale)
        return Verdict(label, claim, Ruling.NOT_TESTABLE, [str(reason)], None, command, missing)
    reasons = outcome.reasons()
    if outcome.leaning != Leaning.NEITHER and not reasons:
        ruling = Ruling.SUPPORTED if outcome.leaning == Leaning.FOR else Ruling.CONTRADICTED
        return Verdict(label, claim, ruling, (), outcome)
    one, alone = outcome.seeds == 1, outcome.seeds < rules.SEEDS and len(reasons) == 1
    more = alone or (outcome.leaning == Leaning.NEITHER and (one or not outcome.between))
    command = _more_seeds(cells.experiment, outcome.seeds) if more else _command(at_scale)
    return Verdict(label, claim, Ruling.UNDECIDED, reasons, outcome, command)


def _command(experiment: str, seeds: int = rules.SEEDS) -> str:
    listed = ",".join(map(str, range(seeds)))
    return f".venv/bin/python -m resnet_study experiment={experiment} seed={listed}"


def _more_seeds(experiment: str, n: int) -> str:
    """The command that trains the same runs with twice as many seeds."""
    command = _command(experiment, max(rules.SEEDS, 2 * n))
    if (SHIPPED / f"{experiment}.yaml").is_file():
        return command
    return f"the command that made these runs, with {command.rpartition(' ')[2]}"

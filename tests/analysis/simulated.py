"""Simulated studies with a known truth, and how often the rules judge them wrongly.

`python -m tests.analysis.simulated` prints the tables of docs/verdicts.md in a quarter of an hour;
with `800` behind it, from 800 studies each, in five minutes.

A truth gives each cell the means of its measures; a cell without measures is at chance.
Differences are in margins: 0.5 points of error, 0.5 orders of magnitude (claim 7), 0.25 and 0.1
of a logarithm (claims 5a and 8).
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
from scipy import stats

from analysis.cells import LEVELS, Cell, Cells
from analysis.claims import CLAIMS
from analysis.claims.judging import Ruling, judged
from analysis.quantity import BySeed

Truth = dict[tuple[str, int], dict[str, float]]

SEEDS, SPREADS = (3, 5), (0.1, 0.3, 1.0)
MARGIN = {"iterations": 0.25, "response": 0.1}
A, SPAN_1, MADE = "residual-A", "residual-A, span 1", "plain, from 20 layers"


@dataclass(frozen=True)
class Noise:
    """How measures vary over seeds: by `spread` points where a margin is 0.5.

    If `unequal`, plain networks beyond 20 layers and residual ones beyond 110 have three times
    the spread. If `shared`, half of the variance is common to all cells of a seed.
    """

    n: int
    spread: float
    unequal: bool = False
    shared: bool = False


def noises(n: int) -> list[Noise]:
    """All spreads, equal and unequal, independent and shared."""
    return [Noise(n, *each) for each in product(SPREADS, (False, True), (False, True))]


def study(truth: Truth, training: float, noise: Noise, rng: np.random.Generator) -> Cells:
    """One study, in which nothing but the statistics decides."""
    common = rng.standard_normal(noise.n)
    cells: dict[tuple[str, int], Cell] = {}
    for (family, depth), means in truth.items():
        wide = noise.unequal and depth > (20 if family == "plain" else 110)
        found: dict[str, BySeed] = {}
        for name, mean in means.items():
            z = rng.standard_normal(noise.n)
            z = np.sqrt(0.5) * (z + common) if noise.shared else z
            margin = MARGIN.get(name, 0.5)
            values = 10 + margin * mean + (3 if wide else 1) * noise.spread * margin / 0.5 * z
            found[name] = dict(enumerate(values.tolist()))
        if "test_error" in found:
            errors = found["test_error"], found["train_error"]
            found["gap"] = {seed: errors[0][seed] - errors[1][seed] for seed in errors[0]}
        logs = {name: found.get(name, {}).items() for name in MARGIN}
        cells[family, depth] = Cell(
            family, depth, training, rate_fell=True,
            runs=tuple(f"{family}-{depth}-{seed}" for seed in range(noise.n)),
            why_not={} if means else dict.fromkeys(range(noise.n), "at chance"),
            final=found,
            untrained=cells["plain", 20].evaluated if family == MADE else {},
            evaluated=found.get("clean_train_error", {}),
            reached={at: {s: np.exp(v) / at for s, v in logs["iterations"]} for at in LEVELS},
            # By iteration; their limit is -2.
            gradients={
                int(k): {s: v - 12 for s, v in found[k].items()} for k in found if k.isdigit()
            },
            response={s: np.exp(v) for s, v in logs["response"]},
        )  # fmt: skip
    return Cells(cells)


def means(family: str, by_depth: dict[int, float], name: str = "train_error") -> Truth:
    """The truth of a family, in margins."""
    return {(family, depth): {name: mean} for depth, mean in by_depth.items()}


def plain(rise: float) -> Truth:
    return means("plain", {20: 0, 32: rise / 2, 56: rise})


def both(family: str, shallow: int, deep: int, train: float, test: float) -> Truth:
    """Rises of training and test error from one depth to the other."""
    ends = {"train_error": train, "test_error": test}
    return {(family, shallow): dict.fromkeys(ends, 0), (family, deep): ends}


rises, thousand = partial(both, "plain", 20, 56), partial(both, A, 110, 1202)


def scratch(worse: float) -> Truth:
    clean = means("plain", {20: 0, 56: worse}, "clean_train_error")
    return clean | means(MADE, {56: 0}, "untrained")


def residual(*rises: float, plain: float = 10, middle: float = 5) -> Truth:
    """Rises until 32, 56 and 110 layers; `plain` until 56 and `middle` until 32."""
    rising = dict(zip((20, 32, 56, 110), (0, *rises), strict=True))
    return means("plain", {20: 4, 32: 4 + middle, 56: 4 + plain}) | means(A, rising)


def level(x: float) -> Truth:
    """Rises that are x margins below the limit at all depths."""
    return residual(*[1 - x] * 3)


def gaps(first: float, last: float = 10) -> Truth:
    """Plain minus residual at 20 and at 56 layers."""
    return means("plain", {20: first, 56: last}) | means(A, {20: 0, 56: 0})


def sooner(x: float) -> Truth:
    return means("plain", {20: 0}, "iterations") | means(A, {20: -x}, "iterations")


def at(depth: int, by_family: dict[str, float]) -> Truth:
    """Training errors at one depth."""
    return {(family, depth): {"train_error": mean} for family, mean in by_family.items()}


def options(b: float, c: float, gain: float = 10) -> Truth:
    """What B and C gain on A, and A on plain."""
    return at(32, {"plain": gain, A: 0, "residual-B": -b, "residual-C": -c})


def gradients(*above: float) -> Truth:
    """V above -2, by look."""
    return {("plain", 20): {f"{look}00": v for look, v in enumerate(above, 1)}}


def responses(smaller: float, deepest: float) -> Truth:
    """Residual is smaller than plain, and at 110 layers smaller than at 20."""
    ends = {20: -smaller, 56: -smaller, 110: -smaller - deepest}
    return means("plain", {20: 0, 56: 0}, "response") | means(A, ends, "response")


def span(change: float, gain: float = 10) -> Truth:
    """One layer per block minus plain, and plain minus two layers."""
    return at(56, {"plain": 0, A: -gain, SPAN_1: change})


FULL, SHORT = 1.0, 0.25
# Truths at or beyond a limit.
OVERFIT = [rises(2, 4), rises(0, 4), rises(0, 0), rises(4, 0)]
SAME, NO_PLAIN_RISE = residual(0, 0, 0), residual(0, 0, 0, plain=0)
DEGRADES = [residual(1, 0, 0), residual(0, 0, 1), level(0), level(-1)]
# The gap to plain networks does not grow until 56 layers, or is zero at 32.
LIKE_PLAIN, NOT_AHEAD = residual(0.5, 0.5, 0.5, plain=0.5), residual(0, 0, 0, middle=-4)
AT_CHANCE = SAME | {(A, 110): {}}
NOT_FOR_4 = [*DEGRADES, NO_PLAIN_RISE, LIKE_PLAIN, NOT_AHEAD, AT_CHANCE]
NOT_AGAINST_4 = [level(0), SAME, NO_PLAIN_RISE]
FAR, CLOSE = [gaps(2.5), gaps(-2.5), gaps(5), gaps(0, 0)], [gaps(2.5), gaps(1, 4), gaps(1, 0)]
NO_GAIN, EQUAL_GAIN = options(0, 0, gain=0), options(2.5, 2.5)
PROJECTIONS = [options(2.5, 0), options(5, 0), EQUAL_GAIN, NO_GAIN]
NO_PROJECTIONS = [options(0, 0), EQUAL_GAIN, NO_GAIN]
VANISHING = [gradients(0, 0, 0), gradients(3, 3, 0)]
NOT_VANISHED = [gradients(0, 0, 0), gradients(-3, -3, 0)]
LARGE = [responses(0, 0), responses(3, 0), responses(0, 3)]
THOUSAND = [thousand(1, 3), thousand(0, 0), thousand(1, 0)]


@dataclass(frozen=True)
class Rule:
    """A rule, and the truths to try it on.

    Attributes:
        label: Number and part of the claim, and the case.
        truth: The truth at a number of margins on the claim's side of the rule's limit.
        not_for: Truths for which "supported" is wrong.
        not_against: Truths for which "contradicted" is wrong.
        training: As a share of the paper's.
    """

    label: str
    truth: Callable[[float], Truth]
    not_for: list[Truth]
    not_against: list[Truth]
    training: float = FULL

    def share(self, ruling: Ruling, truth: Truth, noise: Noise, studies: int) -> float:
        """How many of the studies get this verdict, as a share."""
        claim = next(c for c in CLAIMS if f"{c.number}{c.part}" == self.label.split(",")[0])
        rng = np.random.default_rng(zlib.crc32(repr((self.label, truth, noise)).encode()))
        made = (study(truth, self.training, noise, rng) for _ in range(studies))
        return sum(judged(claim, cells)[0].ruling == ruling for cells in made) / studies

    def wrong(self, ruling: Ruling, among: Iterable[Noise], studies: int) -> float:
        """The largest share of a verdict over noises and the truths for which it is wrong.

        Where it is below 2 % of the first hundred studies, no more are made.
        """
        truths = self.not_for if ruling == Ruling.SUPPORTED else self.not_against
        worst = 0.0
        for each in product(truths, among):
            share = self.share(ruling, *each, 100)
            worst = max(worst, share if share < 0.02 else self.share(ruling, *each, studies))
        return worst


def bound(studies: int) -> float:
    """The share that 99.9 % of samples of this many studies stay below, if the true one is 5 %."""
    return float(stats.binom.ppf(0.999, studies, 0.05)) / studies


RULES = [
    Rule("1", plain, [plain(0), plain(-1)], [plain(1), plain(3), plain(0) | {("plain", 110): {}}]),
    Rule("1, short", plain, [plain(0), plain(-1)], [plain(0), plain(1)], SHORT),
    Rule("2", lambda x: rises(max(x, 0), abs(x)), OVERFIT, [rises(1, 4), rises(3, 3), rises(0, 0)]),
    Rule("3", scratch, [scratch(0)], [scratch(0)]),
    Rule("4", level, NOT_FOR_4, NOT_AGAINST_4),
    Rule("4, short", level, NOT_FOR_4, NOT_AGAINST_4, SHORT),
    Rule("5a", sooner, [sooner(0)], [sooner(0)]),
    Rule("5b", lambda x: gaps(2.5 - x), FAR, CLOSE),
    Rule("5b, short", lambda x: gaps(2.5 - x), FAR, CLOSE, SHORT),
    Rule("6", lambda x: options(2.5 - x, 2.5 - x), PROJECTIONS, NO_PROJECTIONS),
    Rule("7, one look", gradients, [gradients(0)], [gradients(0), gradients(1)]),
    Rule("7, three looks", lambda x: gradients(x, x, x), VANISHING, NOT_VANISHED),
    Rule("8", lambda x: responses(x, x), LARGE, [responses(0, 0), responses(1, 1)]),
    Rule("9", lambda x: span(x - 2.5), [span(-2.5), span(0, gain=0)], [span(-2.5), span(0)]),
    Rule("10", lambda x: thousand(1 - x, x), THOUSAND, THOUSAND),
]


def main(studies: int) -> None:
    """Prints the largest error rates over all noises, and the power without inequalities."""
    print(f"Largest shares in percent, of {studies} studies each; of a true 5 % they are below")
    print(f"{100 * bound(studies):.1f} with 99.9 % certainty.\n")
    wrong = list(product((Ruling.SUPPORTED, Ruling.CONTRADICTED), SEEDS))
    _row("rule", *(f"wrongly {ruling}, n = {n}" for ruling, n in wrong))
    _row(*["---"] * 5)
    for rule in RULES:
        shares = [rule.wrong(ruling, noises(n), studies) for ruling, n in wrong]
        _row(rule.label, *(f"{100 * share:.1f}" for share in shares))
    print(f"\nShares in percent, for spreads of {', '.join(map(str, SPREADS))} points.\n")
    power = [(Ruling.SUPPORTED, x, n) for n, x in product(SEEDS, (1, 2, 3))]
    power += [(Ruling.CONTRADICTED, -3, n) for n in SEEDS]
    _row("rule", *(f"{ruling} at {x:+}, n = {n}" for ruling, x, n in power))
    _row(*["---"] * 9)
    for rule in RULES:
        _row(
            rule.label,
            *(
                " / ".join(
                    f"{100 * rule.share(ruling, rule.truth(x), Noise(n, spread), studies):.0f}"
                    for spread in SPREADS
                )
                for ruling, x, n in power
            ),
        )


def _row(*columns: str) -> None:
    print("|", " | ".join(columns), "|", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 2000)

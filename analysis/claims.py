"""The paper's ten claims, each judged by a stated rule from the runs there are."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from analysis.statistics import degradation, family_difference, final_errors

# Points of error. A single seed has no interval, so a difference below the first counts as
# a tie: at the paper's schedule, seeds of one network differ by about that much.
TIE = 0.5
CLOSE = 2.0
SHARE = 1 / 3

Row = Mapping[Any, Any]
SUPPORTED, CONTRADICTED, INSUFFICIENT = "supported", "contradicted", "insufficient"


@dataclass(frozen=True)
class Claim:
    """One claim of He et al. 2015 and what the runs say to it.

    Attributes:
        number: As in CLAIMS.
        claim: In words.
        verdict: "supported", "contradicted" or "insufficient".
        rule: How the verdict follows from the numbers, in words.
        finding: The numbers, in words; what is missing where the verdict is insufficient.
        effect: The number the rule looks at, in points of error.
        interval: Its 95 % interval over seeds; None for one seed.
        n: Seeds it rests on.
        runs: Ids of the runs it rests on.
    """

    number: int
    claim: str
    verdict: str
    rule: str
    finding: str
    effect: float | None = None
    interval: tuple[float, float] | None = None
    n: int = 0
    runs: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Judgement:
    """What a rule makes of the runs; `Claim` without its words."""

    verdict: str
    finding: str
    effect: float | None = None
    interval: tuple[float, float] | None = None
    n: int = 0
    families: tuple[str, ...] = ()


def _missing(what: str) -> Judgement:
    return Judgement(INSUFFICIENT, f"not run: {what}")


def _interval(row: Row) -> tuple[float, float] | None:
    return None if math.isnan(row["low"]) else (float(row["low"]), float(row["high"]))


def _rises(effect: float, interval: tuple[float, float] | None) -> str:
    """Whether an effect is above zero: by its interval, or for one seed by more than a tie."""
    low, high = interval or (effect - TIE, effect + TIE)
    return SUPPORTED if low > 0 else CONTRADICTED if high < 0 else INSUFFICIENT


def _does_not_rise(effect: float, interval: tuple[float, float] | None) -> str:
    """Whether an effect is at most a tie; contradicted where it is clearly above zero."""
    if interval is None:
        return SUPPORTED if effect <= TIE else CONTRADICTED
    low, high = interval
    return SUPPORTED if high <= TIE else CONTRADICTED if low > 0 else INSUFFICIENT


def _spread(interval: tuple[float, float] | None, n: int) -> str:
    if interval is None:
        return "one seed: no interval"
    return f"95 % interval {interval[0]:+.1f} to {interval[1]:+.1f}, {n} seeds"


def _degradation_of(finals: pd.DataFrame, family: str, error: str = "train_error") -> Row | None:
    rows = degradation(finals, error).to_dict("records")
    return next((row for row in rows if row["family"] == family), None)


def _options(finals: pd.DataFrame) -> list[str]:
    return sorted(family for family in finals["family"].unique() if family != "plain")


def _plain_degrades(finals: pd.DataFrame, _: pd.DataFrame) -> Judgement:
    row = _degradation_of(finals, "plain")
    if row is None:
        return _missing("plain networks at two depths")
    effect, interval, n = float(row["degradation"]), _interval(row), int(row["n"])
    finding = (
        f"training error {row['shallow_error']:.1f} % at {row['shallow']} layers, "
        f"{row['deep_error']:.1f} % at {row['deep']}: {effect:+.1f} points "
        f"({_spread(interval, n)})"
    )
    return Judgement(_rises(effect, interval), finding, effect, interval, n, ("plain",))


def _not_overfitting(finals: pd.DataFrame, _: pd.DataFrame) -> Judgement:
    training = _degradation_of(finals, "plain")
    test = _degradation_of(finals, "plain", "test_error")
    if training is None or test is None:
        return _missing("plain networks at two depths, evaluated on the test set")
    effect, interval, n = float(test["degradation"]), _interval(test), int(test["n"])
    both = (_rises(training["degradation"], _interval(training)), _rises(effect, interval))
    if both == (SUPPORTED, SUPPORTED):
        verdict = SUPPORTED
    else:
        verdict = CONTRADICTED if CONTRADICTED in both else INSUFFICIENT
    finding = (
        f"from {test['shallow']} to {test['deep']} layers the test error changes by "
        f"{effect:+.1f} points ({_spread(interval, n)}), the training error by "
        f"{training['degradation']:+.1f}"
    )
    return Judgement(verdict, finding, effect, interval, n, ("plain",))


def _residual_does_not_degrade(finals: pd.DataFrame, _: pd.DataFrame) -> Judgement:
    option = next(iter(_options(finals)), None)
    row = None if option is None else _degradation_of(finals, option)
    if option is None or row is None:
        return _missing("residual networks at two depths")
    below = family_difference(finals, option, "plain")
    if below.empty:
        return _missing("plain networks at the residual networks' depths")
    effect, interval, n = float(row["degradation"]), _interval(row), int(row["n"])
    parts = [_does_not_rise(effect, interval)]
    differences = below.to_dict("records")
    parts += [_rises(-r["difference"], _flip(_interval(r))) for r in differences]
    worst = max(differences, key=lambda r: r["difference"])
    finding = (
        f"{option}: {effect:+.1f} points from {row['shallow']} to {row['deep']} layers "
        f"({_spread(interval, n)}); below plain at every depth by "
        f"{-worst['difference']:.1f} points or more"
        if worst["difference"] < 0
        else f"{option}: {effect:+.1f} points ({_spread(interval, n)}); not below plain at "
        f"{worst['depth']:.0f} layers"
    )
    return Judgement(_all(parts), finding, effect, interval, n, ("plain", option))


def _flip(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if interval is None else (-interval[1], -interval[0])


def _all(parts: list[str]) -> str:
    if CONTRADICTED in parts:
        return CONTRADICTED
    return SUPPORTED if set(parts) == {SUPPORTED} else INSUFFICIENT


def _sooner_at_the_smallest_depth(finals: pd.DataFrame, runs: pd.DataFrame) -> Judgement:
    option = next(iter(_options(finals)), None)
    shared = pd.DataFrame() if option is None else family_difference(finals, option, "plain")
    if option is None or shared.empty:
        return _missing("a plain and a residual network of the same depth")
    row = min(shared.to_dict("records"), key=lambda r: r["depth"])
    depth, effect, interval = int(row["depth"]), float(row["difference"]), _interval(row)
    curves = []
    for family in (option, "plain"):
        ids = finals[(finals["family"] == family) & (finals["depth"] == depth)]["run_id"]
        part = runs[runs["run_id"].isin(ids)]
        curves.append(part.groupby("iteration")["train_error"].mean().dropna())
    # The paper's curves were decoded at iterations of their own: compare on shared ground.
    low, high = (f(c.index[i] for c in curves) for f, i in ((max, 0), (min, -1)))
    ahead = curves[0].loc[low:high].mean() - curves[1].loc[low:high].mean()
    parts = [SUPPORTED if abs(effect) <= CLOSE else CONTRADICTED, _rises(-ahead, None)]
    finding = (
        f"at {depth} layers {option} ends {effect:+.1f} points from plain "
        f"({_spread(interval, int(row['n']))}), and is {ahead:+.1f} points from it on average "
        "over the course of training"
    )
    return Judgement(_all(parts), finding, effect, interval, int(row["n"]), ("plain", option))


def _options_differ_little(finals: pd.DataFrame, _: pd.DataFrame) -> Judgement:
    options = _options(finals)
    plain = _degradation_of(finals, "plain")
    rows = {option: _degradation_of(finals, option) for option in options}
    if plain is None or len(options) < 2 or any(row is None for row in rows.values()):
        return _missing("two of the options A, B and C, and plain, each at two depths")
    deep = {o: float(row["deep_error"]) for o, row in rows.items() if row is not None}
    spread = max(deep.values()) - min(deep.values())
    rise = {o: float(row["degradation"]) for o, row in rows.items() if row is not None}
    limit = SHARE * float(plain["degradation"])
    verdict = SUPPORTED if max(*rise.values(), spread) <= limit else CONTRADICTED
    if _rises(float(plain["degradation"]), _interval(plain)) != SUPPORTED:
        verdict = INSUFFICIENT
    finding = (
        ", ".join(f"{option} {points:+.1f}" for option, points in rise.items())
        + f" points with depth where plain has {plain['degradation']:+.1f}; at the greatest "
        f"depth the options are {spread:.1f} points apart"
    )
    n = min(int(row["n"]) for row in rows.values() if row is not None)
    return Judgement(verdict, finding, spread, None, n, ("plain", *options))


def _thousand_layers(finals: pd.DataFrame, _: pd.DataFrame) -> Judgement:
    cells = finals[finals["kind"] == "residual"].groupby("depth")[["train_error", "test_error"]]
    means: dict[Any, Any] = cells.mean().to_dict("index")
    if 1202 not in means or 110 not in means:
        return _missing("residual networks of 110 and of 1202 layers")
    training = float(means[1202]["train_error"])
    effect = float(means[1202]["test_error"] - means[110]["test_error"])
    verdict = SUPPORTED if training < 0.1 and effect > 0 else CONTRADICTED
    finding = f"training error {training:.2f} % at 1202 layers; test {effect:+.2f} points from 110"
    return Judgement(verdict, finding, effect, None, 1, tuple(_options(finals)))


def _not_recorded(what: str) -> Callable[[pd.DataFrame, pd.DataFrame], Judgement]:
    return lambda *_: _missing(what)


# Number, claim, rule, and the function that applies it.
CLAIMS: list[tuple[str, str, Callable[[pd.DataFrame, pd.DataFrame], Judgement]]] = [
    (
        "Plain networks degrade: more depth, higher training error.",
        "Training error at the greatest depth minus at the smallest is above zero: its 95 % "
        f"interval over seeds, or for one seed more than {TIE} points.",
        _plain_degrades,
    ),
    (
        "It is not over-fitting: the test error rises with the training error.",
        "Both the training and the test error of plain networks rise from the smallest to "
        "the greatest depth, each judged as in claim 1.",
        _not_overfitting,
    ),
    (
        "A better solution exists by construction, and training from scratch does not find it.",
        "A deeper network made of a trained shallow one and identity layers has the shallow "
        "one's training error, and the same depth trained from scratch a higher one.",
        _not_recorded("a constructed deeper sibling"),
    ),
    (
        "Residual networks do not degrade, and at equal depth are below plain ones.",
        f"Their training error rises with depth by at most {TIE} points (the upper bound of "
        "the interval, or the value for one seed), and residual minus plain is below zero at "
        "every depth both have.",
        _residual_does_not_degrade,
    ),
    (
        "At the smallest depth the residual network ends close to the plain one, and sooner.",
        f"Final training errors differ by at most {CLOSE} points, and the residual network's "
        f"mean training error over the course of training is lower by more than {TIE}.",
        _sooner_at_the_smallest_depth,
    ),
    (
        "Identity shortcuts suffice: the options differ little.",
        "With depth each option's training error rises by at most a third of what plain's "
        "does, and at the greatest depth the options differ by at most that.",
        _options_differ_little,
    ),
    (
        "It is probably not vanishing gradients.",
        "With batch norm, forward variances and gradient norms of deep plain networks stay "
        "within the range of shallow ones.",
        _not_recorded("probes of gradients"),
    ),
    (
        "Residual functions are small.",
        "Layer responses of residual networks deviate less than those of plain ones, and "
        "less with depth.",
        _not_recorded("probes of layer responses"),
    ),
    (
        "A shortcut over a single layer shows no advantage.",
        "With one layer per block residual networks are not below plain ones.",
        _not_recorded("residual networks with one layer per block"),
    ),
    (
        "1202 layers train, but test worse than 110.",
        "At 1202 layers the training error is below 0.1 % and the test error above that of "
        "110 layers.",
        _thousand_layers,
    ),
]


def judge(runs: pd.DataFrame) -> list[Claim]:
    """Judges the ten claims of He et al. 2015.

    Args:
        runs: As from `load_runs`, of one protocol; only finished runs count.
    """
    finals = final_errors(runs)
    claims = []
    for number, (claim, rule, apply) in enumerate(CLAIMS, start=1):
        found = apply(finals, runs)
        ids = sorted(finals[finals["family"].isin(found.families)]["run_id"])
        claims.append(
            Claim(
                number,
                claim,
                found.verdict,
                rule,
                found.finding,
                found.effect,
                found.interval,
                found.n,
                ids,
            )
        )
    return claims

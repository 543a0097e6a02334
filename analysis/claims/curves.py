"""Rules for the claims that rest on errors: 1, 2, 4, 5, 6 and 10."""

from __future__ import annotations

import pandas as pd

from analysis.claims.judgement import (
    CLOSE,
    CONTRADICTED,
    INSUFFICIENT,
    SHARE,
    SUPPORTED,
    Judgement,
    all_of,
    at_most_a_tie,
    degradation_of,
    interval_of,
    missing,
    negative,
    options,
    rises,
    runs_of,
    spread,
)
from analysis.statistics import compare, family_difference, together


def plain_degrades(finals: pd.DataFrame, *_: object) -> Judgement:
    """Claim 1."""
    row = degradation_of(finals, "plain")
    if row is None:
        return missing("plain networks at two depths")
    effect, interval, n = float(row["degradation"]), interval_of(row), int(row["n"])
    finding = (
        f"training error {row['shallow_error']:.1f} % at {row['shallow']} layers, "
        f"{row['deep_error']:.1f} % at {row['deep']}: {effect:+.1f} points "
        f"({spread(interval, n)})"
    )
    runs = runs_of(finals, ["plain"], [row["shallow"], row["deep"]])
    return Judgement(rises(effect, interval), finding, effect, interval, n, runs)


def not_overfitting(finals: pd.DataFrame, *_: object) -> Judgement:
    """Claim 2."""
    training = degradation_of(finals, "plain")
    test = degradation_of(finals, "plain", "test_error")
    if training is None or test is None:
        return missing("plain networks at two depths, evaluated on the test set")
    effect, interval, n = float(test["degradation"]), interval_of(test), int(test["n"])
    training_rises = rises(float(training["degradation"]), interval_of(training))
    test_rises = rises(effect, interval)
    verdict = INSUFFICIENT
    if test_rises == SUPPORTED:
        # Over-fitting is a test error that rises while the training error does not.
        verdict = SUPPORTED if training_rises == SUPPORTED else CONTRADICTED
        if training_rises == INSUFFICIENT and interval_of(training) is not None:
            verdict = INSUFFICIENT
    finding = (
        f"from {test['shallow']} to {test['deep']} layers the test error changes by "
        f"{effect:+.1f} points ({spread(interval, n)}), the training error by "
        f"{training['degradation']:+.1f}"
    )
    runs = runs_of(finals, ["plain"], [test["shallow"], test["deep"]])
    return Judgement(verdict, finding, effect, interval, n, runs)


def residual_does_not_degrade(finals: pd.DataFrame, *_: object) -> Judgement:
    """Claim 4, of the first option that has what it needs."""
    for option in options(finals):
        row = degradation_of(finals, option)
        below = family_difference(finals, option, "plain")
        if row is not None and not below.empty:
            break
    else:
        return missing("residual networks at two depths, and plain ones at one of these")
    effect, interval, n = float(row["degradation"]), interval_of(row), int(row["n"])
    differences = below.to_dict("records")
    parts = [at_most_a_tie(effect, interval)]
    parts += [rises(-r["difference"], negative(interval_of(r))) for r in differences]
    worst = max(differences, key=lambda r: r["difference"])
    place = (
        f"below plain at every depth by {-worst['difference']:.1f} points or more"
        if worst["difference"] < 0
        else f"not below plain at {worst['depth']:.0f} layers"
    )
    finding = (
        f"{option}: {effect:+.1f} points from {row['shallow']} to {row['deep']} layers "
        f"({spread(interval, n)}); {place}"
    )
    depths = {row["shallow"], row["deep"], *below["depth"]}
    runs = runs_of(finals, ["plain", option], depths)
    return Judgement(all_of(parts), finding, effect, interval, n, runs)


def sooner_at_the_smallest_depth(finals: pd.DataFrame, runs: pd.DataFrame, _: object) -> Judgement:
    """Claim 5, of the first option that shares a depth with plain."""
    for option in options(finals):
        shared = family_difference(finals, option, "plain")
        if not shared.empty:
            break
    else:
        return missing("a plain and a residual network of the same depth")
    row = min(shared.to_dict("records"), key=lambda r: r["depth"])
    depth, effect, interval = int(row["depth"]), float(row["difference"]), interval_of(row)
    curves = []
    for family in (option, "plain"):
        part = together(runs[runs["run_id"].isin(runs_of(finals, [family], [depth]))])
        curves.append(part.groupby("iteration")["train_error"].mean().dropna())
    # The paper's curves were decoded at iterations of their own: compare on shared ground.
    low, high = (f(c.index[i] for c in curves) for f, i in ((max, 0), (min, -1)))
    ahead = curves[0].loc[low:high].mean() - curves[1].loc[low:high].mean()
    parts = [SUPPORTED if abs(effect) <= CLOSE else CONTRADICTED, rises(-ahead, None)]
    finding = (
        f"at {depth} layers {option} ends {effect:+.1f} points from plain "
        f"({spread(interval, int(row['n']))}), and is {ahead:+.1f} points from it on average "
        "over the course of training"
    )
    ids = runs_of(finals, ["plain", option], [depth])
    return Judgement(all_of(parts), finding, effect, interval, int(row["n"]), ids)


def options_differ_little(finals: pd.DataFrame, *_: object) -> Judgement:
    """Claim 6, over the depths that plain and all options have."""
    names = options(finals)
    families = ["plain", *names]
    of_these = finals[finals["family"].isin(families)]
    errors = of_these.pivot_table(index="depth", columns="family", values="train_error").dropna()
    if len(names) < 2 or len(errors) < 2 or "plain" not in errors:
        return missing("two of the options A, B and C, and plain, each at two depths they share")
    shallow, deep = int(errors.index[0]), int(errors.index[-1])
    first, last = errors.iloc[0], errors.iloc[-1]
    rise = {family: float(last[family] - first[family]) for family in families}
    apart = float(last[names].max() - last[names].min())
    largest = max(*(rise[name] for name in names), apart)
    verdict = SUPPORTED if largest <= SHARE * rise["plain"] else CONTRADICTED
    shared = finals[finals["depth"].isin([shallow, deep])]
    plain = degradation_of(shared, "plain")
    if plain is None or rises(float(plain["degradation"]), interval_of(plain)) != SUPPORTED:
        verdict = INSUFFICIENT
    finding = (
        ", ".join(f"{option} {rise[option]:+.1f}" for option in names)
        + f" points from {shallow} to {deep} layers, where plain has {rise['plain']:+.1f}; at "
        f"{deep} layers the options are {apart:.1f} points apart"
    )
    n = int(shared[shared["family"].isin(families)].groupby(["family", "depth"]).size().min())
    return Judgement(verdict, finding, apart, None, n, runs_of(finals, families, [shallow, deep]))


def thousand_layers(finals: pd.DataFrame, *_: object) -> Judgement:
    """Claim 10, of the first option that has both depths."""
    for option in options(finals):
        of_option = finals[finals["family"] == option]
        deep, usual = (of_option[of_option["depth"] == depth] for depth in (1202, 110))
        if len(deep) and len(usual):
            break
    else:
        return missing("residual networks of 110 and of 1202 layers")
    training = float(deep["train_error"].mean())
    tests = [part.set_index("seed")["test_error"].dropna() for part in (deep, usual)]
    effect, low, high, *_rest, n = compare(*tests)
    interval = interval_of({"low": low, "high": high})
    trains = SUPPORTED if training < 0.1 else CONTRADICTED
    finding = (
        f"{option}: training error {training:.2f} % at 1202 layers; its test error is "
        f"{effect:+.2f} points from that of 110 ({spread(interval, int(n))})"
    )
    return Judgement(
        all_of([trains, rises(effect, interval)]),
        finding,
        effect,
        interval,
        int(n),
        runs_of(finals, [option], [110, 1202]),
    )

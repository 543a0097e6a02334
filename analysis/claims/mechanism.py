"""Rules for the claims that rest on experiments of their own: 3, 7, 8 and 9."""

from __future__ import annotations

import math

import pandas as pd

from analysis.claims.judgement import (
    CONTRADICTED,
    INSUFFICIENT,
    SUPPORTED,
    TIE,
    Judgement,
    all_of,
    interval_of,
    missing,
    negative,
    rises,
    runs_of,
    spread,
)
from analysis.mechanism import constructed_siblings, mean_responses
from analysis.statistics import add_family, compare, family_difference

SAME = 0.1
VARIANCE = 0.1
GRADIENT = 0.01


def better_by_construction(_: object, runs: pd.DataFrame, __: object) -> Judgement:
    """Claim 3, at the greatest depth that was constructed and trained from scratch."""
    siblings = constructed_siblings(runs)
    siblings = siblings[(siblings["base"] == "plain") & siblings["scratch"].notna()]
    if siblings.empty:
        return missing("a constructed deeper sibling, and its depth trained from scratch")
    at = siblings[siblings["depth"] == siblings["depth"].max()].set_index("seed")
    apart = float((at["constructed"] - at["shallow"]).abs().max())
    effect, low, high, *_rest, n = compare(at["scratch"], at["constructed"])
    interval = interval_of({"low": low, "high": high})
    same = SUPPORTED if apart <= SAME else CONTRADICTED
    first = at.iloc[0]
    finding = (
        f"made of a trained network of {first['start']:.0f} layers, {first['depth']:.0f} layers "
        f"have {at['constructed'].mean():.2f} % clean training error, the shallow one "
        f"{at['shallow'].mean():.2f} %; trained from scratch they end at "
        f"{at['scratch'].mean():.2f} %, {effect:+.1f} points ({spread(interval, int(n))}); "
        f"trained on from the construction, at {at['trained_on'].mean():.2f} %"
    )
    ids = frozenset(at[["run_id", "shallow_run", "scratch_run"]].to_numpy().ravel())
    verdict = all_of([same, rises(effect, interval)])
    return Judgement(verdict, finding, effect, interval, int(n), ids)


def _of_plain_with_norm(probes: pd.DataFrame | None, measure: str) -> pd.DataFrame:
    if probes is None or probes.empty:
        return pd.DataFrame(columns=["depth"])
    probes = add_family(probes)
    return probes[(probes["family"] == "plain") & (probes["measure"] == measure)]


def not_vanishing(_: object, __: object, probes: pd.DataFrame | None) -> Judgement:
    """Claim 7."""
    gradients = _of_plain_with_norm(probes, "activation_gradient_norm")
    variances = _of_plain_with_norm(probes, "forward_variance")
    if gradients["depth"].nunique() < 2:
        return missing("probes of gradients in plain networks at two depths")
    shallow, deep = int(gradients["depth"].min()), int(gradients["depth"].max())
    # The mean over seeds of the logarithm: norms span orders of magnitude.
    logs = gradients.assign(log=gradients["value"].clip(lower=1e-45).map(math.log10))
    layers = logs.groupby(["depth", "iteration", "position"])["log"].mean()
    smallest = layers.groupby(["depth", "iteration"]).min()
    ratio = (smallest[deep] - smallest[shallow]).dropna()
    worst = int(ratio.index[ratio.argmin()])
    effect = float(ratio.min())
    of_deep = variances[variances["depth"] == deep]
    variance = float(of_deep.groupby(["iteration", "position"])["value"].mean().min())
    start = layers[deep].loc[layers[deep].index[0][0]]
    growth = float(start.iloc[0] - start.iloc[-1])
    healthy = effect >= math.log10(GRADIENT) and variance >= VARIANCE
    finding = (
        f"at {deep} layers the smallest gradient norm is 10^{effect:.1f} times that at "
        f"{shallow} (iteration {worst}); the smallest forward variance is {variance:.2g}; "
        f"before training the gradient changes by 10^{growth:.1f} from the last layer to "
        "the first"
    )
    ids = frozenset(gradients[gradients["depth"].isin([shallow, deep])]["run_id"])
    return Judgement(
        SUPPORTED if healthy else CONTRADICTED,
        finding,
        effect,
        None,
        int(gradients["seed"].nunique()),
        ids,
        "orders of magnitude",
    )


def responses_are_small(_: object, __: object, probes: pd.DataFrame | None) -> Judgement:
    """Claim 8."""
    means = pd.DataFrame() if probes is None else mean_responses(probes)
    if means.empty:
        return missing("probes of layer responses")
    table = means.pivot_table(index="depth", columns="family", values="response")
    option = next((f for f in ("residual-A", "residual-B", "residual-C") if f in table), None)
    if option is None or "plain" not in table:
        return missing("probes of layer responses in plain and residual networks")
    shared = table[["plain", option]].dropna()
    residual = table[option].dropna()
    if shared.empty or len(residual) < 2:
        return missing("probes of layer responses at two depths")
    lower = bool((shared[option] < shared["plain"]).all())
    falls = bool(residual.iloc[-1] < residual.iloc[0])
    deepest = shared.index[-1]
    effect = float(shared.loc[deepest, option] - shared.loc[deepest, "plain"])
    listed = ", ".join(
        f"{depth} layers {row['plain']:.2f} and {row[option]:.2f}"
        for depth, row in shared.iterrows()
    )
    finding = f"mean deviation, plain and {option}: {listed}; deepest residual network "
    finding += f"{residual.iloc[-1]:.2f} at {residual.index[-1]} layers"
    used = means[means["family"].isin(["plain", option])]
    return Judgement(
        SUPPORTED if lower and falls else CONTRADICTED,
        finding,
        effect,
        None,
        int(used["seed"].nunique()),
        frozenset(used["run_id"]),
        "units of deviation",
    )


def single_layer_shows_no_advantage(finals: pd.DataFrame, *_: object) -> Judgement:
    """Claim 9, of the first option that was run with one layer per block."""
    for option in ("residual-A", "residual-B", "residual-C"):
        single = f"{option}, span 1"
        table = family_difference(finals, single, "plain")
        if not table.empty:
            break
    else:
        return missing("residual networks with one layer per block, and plain ones of their depth")
    rows = table.to_dict("records")
    below = [rises(-row["difference"], negative(interval_of(row))) for row in rows]
    if SUPPORTED in below:
        verdict = CONTRADICTED
    else:
        # An interval that reaches below zero by more than a tie leaves it open.
        open_ = any((interval_of(row) or (0.0, 0.0))[0] < -TIE for row in rows)
        verdict = INSUFFICIENT if open_ else SUPPORTED
    listed = ", ".join(f"{row['difference']:+.1f} at {row['depth']:.0f}" for row in rows)
    two = family_difference(finals, option, "plain").to_dict("records")
    beside = ", ".join(f"{row['difference']:+.1f} at {row['depth']:.0f}" for row in two)
    finding = f"one layer per block minus plain: {listed} layers"
    finding += f"; two layers per block: {beside}" if beside else ""
    deepest = max(rows, key=lambda row: row["depth"])
    return Judgement(
        verdict,
        finding,
        float(deepest["difference"]),
        interval_of(deepest),
        int(deepest["n"]),
        runs_of(finals, ["plain", single, option], table["depth"]),
    )

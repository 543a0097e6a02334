"""Rules for the claims that rest on experiments of their own: 3, 7, 8 and 9."""

from __future__ import annotations

import math
from typing import Any

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
ORDERS = 2.0
MARGIN = 0.05


def better_by_construction(_: object, runs: pd.DataFrame, __: object) -> Judgement:
    """Claim 3, at the greatest depth that was constructed and trained from scratch."""
    siblings = constructed_siblings(runs)
    siblings = siblings[siblings["base"] == "plain"].dropna(subset=["scratch", "shallow"])
    if siblings.empty:
        return missing("a constructed deeper sibling, its start, and its depth from scratch")
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
        f"the construction trained on, for as many iterations again, at "
        f"{at['trained_on'].mean():.2f} %"
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
    ranges = layers.groupby(["depth", "iteration"]).agg(["min", "max", "first", "last"])
    of_shallow, of_deep = ranges.loc[shallow], ranges.loc[deep]
    shared = of_deep.index.intersection(of_shallow.index)
    if shared.empty:
        return missing("probes of gradients at an iteration that both depths have")
    first, last = int(shared.min()), int(shared.max())
    span = {
        depth: float(at["max"][first] - at["min"][first])
        for depth, at in ((shallow, of_shallow), (deep, of_deep))
    }
    effect = span[deep] - span[shallow]
    chosen = variances[(variances["depth"] == deep) & (variances["iteration"] == first)]
    variance = float(chosen.groupby("position")["value"].mean().min())
    grows = bool(of_deep["first"][first] > of_deep["last"][first])
    later = float(of_deep["min"][last] - of_shallow["min"][last])
    finding = (
        f"at iteration {first} gradient norms over layers span 10^{span[deep]:.1f} at {deep} "
        f"layers, {'growing' if grows else 'shrinking'} on the way back to the input, and "
        f"10^{span[shallow]:.1f} at {shallow}; the smallest forward variance is {variance:.2g}"
    )
    if last > first:
        finding += (
            f"; at iteration {last} the smallest norm at {deep} layers is 10^{later:.1f} times "
            f"that at {shallow}"
        )
    healthy = effect <= ORDERS and variance >= VARIANCE
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


def _lower(less: pd.Series, more: pd.Series) -> str:
    """Whether responses by seed are lower: by the interval, or for one seed by the margin."""
    difference, low, high, *_rest = compare(less, more)
    interval = interval_of({"low": low, "high": high})
    if interval is None:
        margin = MARGIN * float(more.mean())
        interval = (difference - margin, difference + margin)
    return SUPPORTED if interval[1] < 0 else CONTRADICTED if interval[0] > 0 else INSUFFICIENT


def responses_are_small(finals: pd.DataFrame, _: object, probes: pd.DataFrame | None) -> Judgement:
    """Claim 8."""
    means = pd.DataFrame() if probes is None else mean_responses(probes)
    if means.empty:
        return missing("probes of layer responses")
    cells: dict[Any, pd.Series] = {
        key: part.set_index("seed")["response"] for key, part in means.groupby(["family", "depth"])
    }
    for option in ("residual-A", "residual-B", "residual-C"):
        residual = sorted(depth for family, depth in cells if family == option)
        shared = [depth for depth in residual if ("plain", depth) in cells]
        if shared and len(residual) > 1:
            break
    else:
        return missing("probes of layer responses in plain and residual networks at two depths")
    parts = [_lower(cells[option, depth], cells["plain", depth]) for depth in shared]
    parts.append(_lower(cells[option, residual[-1]], cells[option, residual[0]]))
    deepest = shared[-1]
    difference, low, high, *_rest, n = compare(cells[option, deepest], cells["plain", deepest])
    errors = finals[finals["family"] == "plain"].groupby("depth")["train_error"].mean()
    listed = ", ".join(
        f"{cells['plain', depth].mean():.2f} and {cells[option, depth].mean():.2f} at {depth} "
        "layers" + (f" (plain's training error {errors[depth]:.0f} %)" if depth in errors else "")
        for depth in shared
    )
    used = means[means["family"].isin(["plain", option])]
    return Judgement(
        all_of(parts),
        f"mean deviation of plain and {option}: {listed}",
        difference,
        interval_of({"low": low, "high": high}),
        int(n),
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

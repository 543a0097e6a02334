"""Statistics for the experiments on why plain networks degrade: starts and probes."""

import numpy as np
import pandas as pd

from analysis.networks import COLUMNS, add_family


def constructed_siblings(runs: pd.DataFrame) -> pd.DataFrame:
    """Errors of networks made of a trained shallow network and identity layers.

    Args:
        runs: As from `load_runs`; deepened runs have a row at iteration 0.

    Returns:
        One row per deepened run: `run_id, base, depth, start` (family and depth of the shallow
        network), `seed`, and clean training errors in percent:
        `constructed` (before any training), `trained_on` (at the end), `shallow` and
        `scratch` (the shallow network, and the same depth trained from scratch, at their
        ends; missing if not run), with their run ids `shallow_run` and `scratch_run`.
    """
    runs = add_family(runs[runs["state"] == "finished"])
    evaluated = runs.dropna(subset=["clean_train_error"]).sort_values("iteration", kind="stable")
    ends = evaluated.groupby("run_id").tail(1)
    made = evaluated[(evaluated["iteration"] == 0) & evaluated["start"].notna()]
    columns = ["run_id", "base", "depth", "start", "seed", "constructed"]
    table = made.rename(columns={"clean_train_error": "constructed"})[columns]
    table["trained_on"] = table["run_id"].map(ends.set_index("run_id")["clean_train_error"])
    for name, depth in (("shallow", "start"), ("scratch", "depth")):
        cells = {"family": "base", "depth": depth, "run_id": f"{name}_run"}
        known = ends.drop_duplicates(["family", "depth", "seed"], keep="last")
        known = known[[*cells, "seed", "clean_train_error"]]
        known = known.rename(columns=cells | {"clean_train_error": name})
        table = table.merge(known, how="left")
    return table


def mean_responses(probes: pd.DataFrame) -> pd.DataFrame:
    """Mean over layers of the responses' standard deviation, when each run was last probed.

    Args:
        probes: As from `load_probes`.

    Returns:
        `run_id, family, depth, seed, response`.
    """
    responses = add_family(probes[probes["measure"] == "response_deviation"])
    last = responses.groupby("run_id")["iteration"].transform("max")
    keys = ["run_id", "family", "depth", "seed"]
    ends = responses[responses["iteration"] == last]
    return ends.groupby(keys)["value"].mean().reset_index(name="response")


# Over seeds, norms and variances differ by factors, so the mean is taken of their logarithms.
BY_FACTORS = {"weight_gradient_norm", "activation_gradient_norm", "forward_variance"}


def profiles(probes: pd.DataFrame, measures: list[str]) -> pd.DataFrame:
    """A measure along the network, mean over seeds: geometric for norms and variances.

    Args:
        probes: As from `load_probes`.
        measures: Such as "weight_gradient_norm".

    Returns:
        `kind, shortcut, variant, family, depth, iteration, measure, position, value, started`
        (whether all seeds did, or are still at iteration 0).
    """
    chosen = add_family(probes[probes["measure"].isin(measures)])
    keys = [*COLUMNS, "depth", "iteration", "measure", "position"]
    if chosen.empty:
        return pd.DataFrame(columns=[*keys, "value", "started"])
    factors = chosen["measure"].isin(BY_FACTORS)
    with np.errstate(divide="ignore"):
        logs = np.log(chosen["value"].where(factors, 1.0))
    started = chosen["started"] | (chosen["iteration"] == 0)
    layers = chosen.assign(log=logs, started=started).groupby(keys, sort=False, dropna=False)
    mean_of = {"value": "mean", "log": "mean", "started": "all"}
    means = layers.agg(mean_of).reset_index()
    means["value"] = means["value"].mask(means["measure"].isin(BY_FACTORS), np.exp(means["log"]))
    return means.drop(columns="log")


def at_one_look(table: pd.DataFrame, iteration: int | None = None) -> tuple[pd.DataFrame, str]:
    """The rows of `profiles` at one iteration (None: the first probed), and its name in words."""
    first = int(table["iteration"].min()) if len(table) else 0
    at = first if iteration is None else iteration
    when = "Before training" if at == 0 else f"After {at:,} iterations"
    return table[table["iteration"] == at], when

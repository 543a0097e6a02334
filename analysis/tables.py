"""Tables from frames: CSV for programs, Markdown for readers, LaTeX for papers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis import statistics
from analysis.networks import add_family, family_title
from analysis.paper import TABLE6_TEST_ERROR, figure6_curves, of_the_papers_protocol
from analysis.statistics import NAMED
from analysis.study import Study

# Percent of the training time that a run waits for data.
WORTH_TELLING = 0.5

TITLES = {
    "comparison": "comparison",
    "family": "network",
    "error": "error",
    "depth": "depth",
    "shallow": "from depth",
    "deep": "to depth",
    "host": "host",
    "device": "device",
    "runs": "runs",
    "finished": "finished",
    "n": "seeds",
    "train_error": "training error (%)",
    "clean_train_error": "clean training error (%)",
    "test_error": "test error (%)",
    "paper_train_error": "training error in the paper (%)",
    "paper_test_error": "test error in the paper (%)",
    "top1_error": "top-1 error (%)",
    "top5_error": "top-5 error (%)",
    "paper_top1_error": "top-1 error in the paper (%)",
    "paper_top5_error": "top-5 error in the paper (%)",
    "difference": "difference (points)",
    "interval": "95 % interval",
    "tau": "Kendall's tau over depth",
    "parameters": "parameters",
    "multiply_adds": "multiply-adds",
    "seconds": "training time (s)",
    "waiting": "of it waiting for data (%)",
    "peak_memory_mb": "peak memory (MB)",
}


@dataclass(frozen=True)
class Titled:
    """A table with its heading, and a note on how to read it."""

    title: str
    frame: pd.DataFrame
    note: str = ""


def results(finals: pd.DataFrame, protocol_of_the_paper: bool = False) -> pd.DataFrame:
    """Mean, standard deviation and seeds of each error, one row per family and depth.

    Args:
        finals: As from `final_errors`.
        protocol_of_the_paper: Whether the runs are of CIFAR-10 at the paper's schedule;
            only then its numbers may stand beside them, as `paper_train_error` (from
            Figure 6) and `paper_test_error` (from Table 6, for plain from Figure 6).
    """
    table = statistics.by_cells(finals, statistics.ERRORS)
    if protocol_of_the_paper:
        drawn = statistics.final_errors(figure6_curves()).set_index(["family", "depth"])
        drawn = drawn[list(NAMED)].add_prefix("paper_").reset_index()
        table = table.merge(drawn, how="left")
        published = table["depth"].map(TABLE6_TEST_ERROR).where(table["family"] == "residual-A")
        table["paper_test_error"] = published.fillna(table["paper_test_error"])
    return table


def costs(manifests: pd.DataFrame) -> pd.DataFrame:
    """Size and cost of each network, one row per family, depth and device.

    Args:
        manifests: As from `costs_of`, of one protocol.

    Returns:
        `family, depth, device` (only where there are several), `n, parameters,
        multiply_adds` (of one image), `seconds` (mean training time of a run), `waiting`
        (percent of it, only where some run waited for data for half a percent or more) and
        `peak_memory_mb` (of the process on a CPU, which includes the libraries; of the
        device on a GPU), over finished runs. Devices of one name count as one.
    """
    finished = manifests[manifests["state"] == "finished"]
    devices = finished["device_name"].fillna("unknown device").astype(str)
    # A mean over two devices is the cost on neither.
    several = ["device"] if devices.nunique() > 1 else []
    table = (
        finished.assign(device=devices)
        .groupby(["family", "depth", *several])
        .agg(
            n=("seed", "count"),
            parameters=("parameters", "first"),
            multiply_adds=("multiply_adds", "first"),
            seconds=("seconds", "mean"),
            waiting=("waiting_seconds", "mean"),
            peak_memory_mb=("peak_memory_bytes", "mean"),
        )
        .reset_index()
    )
    table["peak_memory_mb"] /= 1e6
    table["waiting"] *= 100 / table["seconds"]
    return table if (table["waiting"] >= WORTH_TELLING).any() else table.drop(columns="waiting")


def sources(study: Study) -> pd.DataFrame:
    """Where a study's runs were trained, one row per host and device.

    Returns:
        `host, device, runs` and `finished`, numbers of runs.
    """
    each = pd.DataFrame(study.machines.values(), columns=["host", "device"])
    each["finished"] = [state == "finished" for state in study.states.values()]
    counted = each.groupby(["host", "device"])["finished"].agg(runs="count", finished="sum")
    return counted.reset_index()


def changes(finals: pd.DataFrame) -> pd.DataFrame:
    """Degradation of each family, one row per family and error.

    Args:
        finals: As from `final_errors`.

    Returns:
        `family, error`, the columns of `degradation` (its points as `difference`), and
        Kendall's `tau` between depth and error over all runs. Networks that did not start are
        left out.
    """
    finals = finals[finals["started"]]
    parts = [
        statistics.degradation(finals, error)
        .rename(columns={"degradation": "difference"})
        .merge(statistics.depth_trend(finals, error)[["family", "tau"]])
        .assign(error=title)
        for error, title in NAMED.items()
    ]
    table = pd.concat(parts, ignore_index=True)
    return table[["family", "error", *[c for c in table if c not in ("family", "error")]]]


def differences(finals: pd.DataFrame) -> pd.DataFrame:
    """Residual minus plain, and option minus option, at each depth both have.

    Args:
        finals: As from `final_errors`.

    Returns:
        `comparison, error, depth`, then the columns of `family_difference`.
    """
    families = sorted(finals["family"].unique())
    parts = [
        statistics.family_difference(finals, one, other, error).assign(
            comparison=f"{family_title(one)} minus {family_title(other)}", error=title
        )
        for other, one in itertools.combinations(families, 2)
        for error, title in NAMED.items()
    ]
    columns = ["comparison", "error", "depth", *statistics.DIFFERENCE]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def comparison(studies: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Each further study minus the first, in every cell that both have.

    Args:
        studies: Frames as from `final_errors`, by the study's name.

    Returns:
        `comparison, error, family, depth`, then the columns of `study_difference`.
    """
    (first, finals), *others = studies.items()
    parts = [
        statistics.study_difference(other, finals, error).assign(
            comparison=f"{name} minus {first}", error=title
        )
        for name, other in others
        for error, title in NAMED.items()
    ]
    columns = ["comparison", "error", "family", "depth", *statistics.DIFFERENCE]
    return pd.concat(parts, ignore_index=True)[columns]


def overview(studies: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Several studies in one table of text: a row per data set, network and error.

    Args:
        studies: As from `load_runs`, each of one protocol.

    Returns:
        `data, schedule, network, seeds, error` and a column for each depth, with means over
        seeds in percent, ± the standard deviation where there are several. The paper's own
        numbers stand below a study of its data and schedule, and nowhere else.
    """
    rows = []
    for runs in studies:
        table = results(statistics.final_errors(runs), of_the_papers_protocol(runs))
        told = {name: ", ".join(sorted(runs[name].unique())) for name in ("data", "schedule")}
        for family, cells in table.groupby("family", sort=False):
            seeds = "–".join(f"{n}" for n in sorted({cells["n"].min(), cells["n"].max()}))
            for source, who in (("", seeds), ("paper_", "the paper")):
                for error, title in NAMED.items():
                    column = f"{source}{error}"
                    if column not in cells or cells[column].isna().all():
                        continue
                    network = {"network": family_title(str(family)), "seeds": who, "error": title}
                    shown = {int(row["depth"]): _text(row, column) for _, row in cells.iterrows()}
                    rows.append(told | network | shown)
    depths = sorted({key for row in rows for key in row if isinstance(key, int)})
    names = ["data", "schedule", "network", "seeds", "error"]
    frame = pd.DataFrame(rows, columns=[*names, *depths]).fillna("–")
    return frame.rename(columns={depth: f"{depth} layers" for depth in depths})


def rates(study: Study) -> pd.DataFrame:
    """What learning rates are chosen by: the final error on held-out images at each, as text.

    Args:
        study: Runs that differ in network and learning rate, one or more seeds of each.

    Returns:
        `learning rate`, a column for each network, and `mean`, over networks, in percent.
    """
    ends = statistics.final_errors(study.runs).set_index("run_id")["test_error"]
    runs = add_family(study.runs).drop_duplicates("run_id")
    network = runs["family"].map(family_title) + " " + runs["depth"].astype(str)
    rate = runs["run_id"].map(lambda run_id: study.configs[run_id].schedule.learning_rate)
    found = runs.assign(network=network, rate=rate, error=runs["run_id"].map(ends))
    # A run that diverged has no end, and its rate no mean.
    table = found.pivot_table(
        index="rate",
        columns="network",
        values="error",
        aggfunc=lambda errors: errors.mean(skipna=False),
        dropna=False,
    )
    table["mean"] = table.mean(axis=1, skipna=False)
    text = table.map(lambda error: "–" if pd.isna(error) else f"{error:.2f}")
    text.insert(0, "learning rate", [f"{rate:g}" for rate in text.index])
    return text.reset_index(drop=True)


def _text(row: pd.Series, column: str) -> str:
    value = row[column]
    if pd.isna(value):
        return "–"
    if column == "family":
        return family_title(value)
    if column in ("difference", "tau"):
        return f"{value:+.2f}"
    if column.endswith("_error"):
        deviation = row.get(f"{column}_std")
        return f"{value:.2f}" + ("" if pd.isna(deviation) else f" ± {deviation:.2f}")
    return value if isinstance(value, str) else f"{value:,.0f}"


def _interval(low: float, high: float) -> str:
    return "one seed: no interval" if math.isnan(low) else f"{low:+.2f} to {high:+.2f}"


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """A table as text under readable titles: `mean ± standard deviation` where there is one."""
    if "low" in table:
        bounds = table[["low", "high"]].itertuples(index=False)
        table = table.assign(interval=[_interval(*pair) for pair in bounds])
    columns = [column for column in TITLES if column in table.columns]
    rows = [[_text(row, column) for column in columns] for _, row in table.iterrows()]
    text = pd.DataFrame(rows, columns=[TITLES[column] for column in columns])
    # An interval sorts by its lower bound.
    text.attrs["raw"] = table[["low" if c == "interval" else c for c in columns]]
    return text


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown."""
    return text_as_markdown(readable(table))


def text_as_markdown(text: pd.DataFrame, left: int = 1) -> str:
    """A table of text in Markdown, so many columns to the left, the others to the right."""
    rules = ["---"] * left + ["---:"] * (len(text.columns) - left)
    lines = [" | ".join(text.columns), " | ".join(rules)]
    lines += [" | ".join(row) for row in text.itertuples(index=False)]
    return "".join(f"| {line} |\n" for line in lines)


def latex(table: pd.DataFrame, caption: str) -> str:
    """A table in LaTeX, with the rules of the package booktabs.

    Args:
        table: As from `results` or `costs`.
        caption: What it was made from, in plain text.
    """
    text = readable(table).map(_escaped)
    text.columns = [_escaped(column) for column in text.columns]
    body: str = text.to_latex(
        index=False, escape=False, column_format="l" + "r" * (len(text.columns) - 1)
    )
    indented = body.replace("\n", "\n  ").rstrip()
    return (
        "% needs \\usepackage{booktabs}\n\\begin{table}\n  \\centering\n"
        f"  \\caption{{{_escaped(caption)}}}\n  {indented}\n\\end{{table}}\n"
    )


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "–": "--",
    "→": r"$\rightarrow$",
    **{special: f"\\{special}" for special in "%_&#${}"},
}


def _escaped(text: str) -> str:
    """Plain text as LaTeX sets it."""
    return "".join(_LATEX.get(character, character) for character in text)

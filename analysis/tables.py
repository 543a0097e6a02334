"""Tables of a report, and how they are written for readers: in Markdown and LaTeX."""

import itertools
from dataclasses import dataclass

import pandas as pd

from analysis import statistics
from analysis.networks import family_title
from analysis.paper import TABLE6_TEST_ERROR, figure6_curves
from analysis.statistics import NAMED
from analysis.study import Study

# Waiting for data is shown from this percentage of the training time.
WORTH_TELLING = 0.5

# Titles for readers, in the order of the columns; columns without a title are not shown.
TITLES = {
    "comparison": "comparison",
    "family": "network",
    **{
        name: name
        for name in ("error", "depth", "host", "device", "runs", "finished", "seed", "iteration")
    },
    "shallow": "from depth",
    "deep": "to depth",
    "points": "the paper's points",
    "first": "from iteration",
    "last": "up to iteration",
    "n": "seeds",
    "our_error": "error (%)",
    "paper_error": "error in the paper (%)",
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
    "farthest": "largest difference (points)",
    "interval": "95 % interval",
    "tau": "Kendall's tau over depth",
    "parameters": "parameters",
    "multiply_adds": "multiply-adds",
    "seconds": "training time (s)",
    "waiting": "waiting for data (% of time)",
    "peak_memory_mb": "peak memory (MB)",
}

# Characters that LaTeX writes differently.
LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "–": "--",
        "→": r"$\rightarrow$",
        **{special: f"\\{special}" for special in "%_&#${}"},
    }
)


@dataclass(frozen=True)
class Titled:
    """A table with its heading, and a note on how to read it."""

    title: str
    frame: pd.DataFrame
    note: str = ""


def results(finals: pd.DataFrame, protocol_of_the_paper: bool = False) -> pd.DataFrame:
    """Mean, standard deviation and number of seeds of each error, by family and depth.

    Args:
        finals: As from `final_errors`.
        protocol_of_the_paper: Whether the runs are of CIFAR-10 at the paper's schedule. If
            so, the paper's errors are added, as `paper_train_error` (from Figure 6) and
            `paper_test_error` (from Table 6; for plain networks from Figure 6).
    """
    table = statistics.by_cells(finals, statistics.ERRORS)
    if protocol_of_the_paper:
        drawn = statistics.final_errors(figure6_curves()).set_index(["family", "depth"])
        drawn = drawn[list(NAMED)].add_prefix("paper_").reset_index()
        table = table.merge(drawn, how="left")
        published = table["depth"].map(TABLE6_TEST_ERROR).where(table["family"] == "residual-A")
        table["paper_test_error"] = published.fillna(table["paper_test_error"])
    return table


def costs(study: Study) -> pd.DataFrame:
    """Size and cost of each network, one row per family, depth and device.

    Args:
        study: Runs of one protocol.

    Returns:
        `family, depth, device` (only where there are several), `n, parameters,
        multiply_adds` (of one image), `seconds` (mean training time of a run), `waiting`
        (percent of it, only where some run waited for data for half a percent or more) and
        `peak_memory_mb` (of the process on a CPU, which includes the libraries; of the
        device on a GPU), over finished runs. Devices of one name count as one.
    """
    finished = study.each.query("state == 'finished'")
    # A mean over two devices would be the cost on neither.
    several = ["device"] if finished["device"].nunique() > 1 else []
    table = (
        finished.groupby(["family", "depth", *several])
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
    finished = study.each.assign(finished=study.each["state"] == "finished")
    machines = finished.groupby(["host", "device"])["finished"]
    return machines.agg(runs="count", finished="sum").reset_index()


def changes(finals: pd.DataFrame) -> pd.DataFrame:
    """Degradation of each family, one row per family and error.

    Args:
        finals: As from `final_errors`.

    Returns:
        `family, error`, then the columns of `degradation` (its points as `difference`), without
        the p-value. Networks that did not start are left out.
    """
    started = finals[finals["started"]]
    parts = [statistics.degradation(started, e).assign(error=title) for e, title in NAMED.items()]
    table = pd.concat(parts, ignore_index=True).rename(columns={"degradation": "difference"})
    ends = ["shallow", "deep", "shallow_error", "deep_error"]
    return table[["family", "error", *ends, *statistics.DIFFERENCE, "tau"]]


def differences(finals: pd.DataFrame) -> pd.DataFrame:
    """Differences between all pairs of families at each depth that both have.

    Args:
        finals: As from `final_errors`.

    Returns:
        `comparison, error, depth`, then the columns of `family_difference`.
    """
    pairs = itertools.combinations(sorted(finals["family"].unique()), 2)
    parts = [
        statistics.family_difference(finals, one, other, error).assign(
            comparison=f"{family_title(one)} minus {family_title(other)}", error=title
        )
        for other, one in pairs
        for error, title in NAMED.items()
    ]
    columns = ["comparison", "error", "depth", *statistics.DIFFERENCE]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def comparison(studies: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Each further study minus the first, for each family and depth that both have.

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


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """A table as text under readable titles: `mean ± standard deviation` where there is one."""
    if "low" in table:
        table = table.assign(interval=table["low"])
    columns = [column for column in TITLES if column in table]
    text = pd.DataFrame({TITLES[column]: texts(table, column) for column in columns}, dtype=object)
    # The page sorts by these values, and an interval by its lower bound.
    text.attrs["raw"] = table[columns]
    return text


def texts(table: pd.DataFrame, column: str) -> pd.Series:
    """A column of a table as text."""
    values, missing = table[column], "–"
    if column == "family":
        texts = values.map(family_title)
    elif pd.api.types.is_numeric_dtype(values):
        signed = column in ("difference", "farthest", "interval", "tau")
        form = "{:+.2f}" if signed else "{:.2f}" if column.endswith("_error") else "{:,.0f}"
        texts = values.map(form.format)
    else:
        texts = values
    if column == "interval":
        texts += table["high"].map(" to {:+.2f}".format)
        missing = "one seed: no interval"
    if (deviations := table.get(f"{column}_std")) is not None:
        texts += deviations.map(" ± {:.2f}".format).where(deviations.notna(), "")
    return texts.where(values.notna(), missing)


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown."""
    return text_as_markdown(readable(table))


def text_as_markdown(text: pd.DataFrame, left: int = 1) -> str:
    """A table of text in Markdown; the first `left` columns are aligned to the left."""
    rules = ["---"] * left + ["---:"] * (len(text.columns) - left)
    rows = [text.columns, rules, *text.to_numpy()]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def latex(table: pd.DataFrame, caption: str) -> str:
    """A table in LaTeX, with the rules of the package booktabs.

    Args:
        table: As from `results` or `costs`.
        caption: Plain text.
    """
    text = readable(table)
    head, *rows = (
        " & ".join(cell.translate(LATEX) for cell in row) + r" \\"
        for row in [text.columns, *text.to_numpy()]
    )
    lines = [
        r"\centering",
        rf"\caption{{{caption.translate(LATEX)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(text.columns) - 1)}}}",
        r"\toprule",
        head,
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    body = "".join(f"  {line}\n" for line in lines)
    return f"% needs \\usepackage{{booktabs}}\n\\begin{{table}}\n{body}\\end{{table}}\n"

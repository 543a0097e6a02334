"""Tables from frames: CSV for programs, Markdown for readers, LaTeX for papers."""

from __future__ import annotations

import pandas as pd

from analysis.paper import TABLE6_TEST_ERROR
from analysis.statistics import ERRORS, by_cell

TITLES = {
    "family": "network",
    "depth": "depth",
    "n": "seeds",
    "train_error": "training error (%)",
    "clean_train_error": "clean training error (%)",
    "test_error": "test error (%)",
    "paper_test_error": "test error in the paper (%)",
    "parameters": "parameters",
    "multiply_adds": "multiply-adds",
    "seconds": "training time (s)",
    "peak_memory_mb": "peak memory (MB)",
}


def results(finals: pd.DataFrame, protocol_of_the_paper: bool = False) -> pd.DataFrame:
    """Mean, standard deviation and seeds of each error, one row per family and depth.

    Args:
        finals: As from `final_errors`.
        protocol_of_the_paper: Whether the runs are of CIFAR-10 at the paper's schedule;
            only then its Table 6 may stand beside them, as `paper_test_error`.
    """
    table = by_cell(finals, ERRORS[0])[["family", "depth", "n"]]
    for error in ERRORS:
        cells = by_cell(finals, error)
        table[error] = cells["mean"]
        table[f"{error}_std"] = cells["std"]
    if protocol_of_the_paper:
        published = table["depth"].map(TABLE6_TEST_ERROR)
        table["paper_test_error"] = published.where(table["family"] == "residual-A")
    return table


def costs(manifests: pd.DataFrame) -> pd.DataFrame:
    """Size and cost of each network, one row per family and depth.

    Args:
        manifests: As from `load_manifests`, of one protocol.

    Returns:
        `family, depth, n, parameters, multiply_adds` (of one image), `seconds` (mean
        training time of a run) and `peak_memory_mb` (of the process on a CPU, which
        includes the libraries; of the device on a GPU), over finished runs.
    """
    finished = manifests[manifests["state"] == "finished"]
    table = (
        finished.groupby(["family", "depth"])
        .agg(
            n=("seed", "count"),
            parameters=("parameters", "first"),
            multiply_adds=("multiply_adds", "first"),
            seconds=("seconds", "mean"),
            peak_memory_mb=("peak_memory_bytes", "mean"),
        )
        .reset_index()
    )
    table["peak_memory_mb"] /= 1e6
    return table


def _text(row: pd.Series, column: str) -> str:
    value = row[column]
    if pd.isna(value):
        return "–"
    if column.endswith("_error"):
        deviation = row.get(f"{column}_std")
        return f"{value:.2f}" + ("" if pd.isna(deviation) else f" ± {deviation:.2f}")
    return value if isinstance(value, str) else f"{value:,.0f}"


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """A table as text under readable titles: `mean ± standard deviation` where there is one."""
    columns = [column for column in table.columns if column in TITLES]
    rows = [[_text(row, column) for column in columns] for _, row in table.iterrows()]
    return pd.DataFrame(rows, columns=[TITLES[column] for column in columns])


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown."""
    text = readable(table)
    lines = [" | ".join(text.columns), " | ".join(["---", *["---:"] * (len(text.columns) - 1)])]
    lines += [" | ".join(row) for row in text.itertuples(index=False)]
    return "".join(f"| {line} |\n" for line in lines)


def latex(table: pd.DataFrame, caption: str) -> str:
    """A table in LaTeX, with the rules of the package booktabs.

    Args:
        table: As from `results` or `costs`.
        caption: What it was made from, in plain text.
    """
    text = readable(table).replace({"±": r"$\\pm$", "–": "--"}, regex=True)
    for special in ("%", "_", "&", "#"):
        text.columns = text.columns.str.replace(special, f"\\{special}", regex=False)
        caption = caption.replace(special, f"\\{special}")
    body: str = text.to_latex(
        index=False, escape=False, column_format="l" + "r" * (len(text.columns) - 1)
    )
    indented = body.replace("\n", "\n  ").rstrip()
    return (
        "% needs \\usepackage{booktabs}\n\\begin{table}\n  \\centering\n"
        f"  \\caption{{{caption}}}\n  {indented}\n\\end{{table}}\n"
    )

"""Tables from frames: CSV for programs, Markdown for readers."""

from __future__ import annotations

import pandas as pd

from analysis.statistics import ERRORS, by_cell

TITLES = {
    "train_error": "training error (%)",
    "clean_train_error": "clean training error (%)",
    "test_error": "test error (%)",
}


def results(finals: pd.DataFrame) -> pd.DataFrame:
    """Mean, standard deviation and seeds of each error, one row per family and depth."""
    table = by_cell(finals, ERRORS[0])[["family", "depth", "n"]]
    for error in ERRORS:
        cells = by_cell(finals, error)
        table[error] = cells["mean"]
        table[f"{error}_std"] = cells["std"]
    return table


def markdown(table: pd.DataFrame) -> str:
    """The results as a Markdown table, `mean ± standard deviation` where there is one."""
    head = ["network", "depth", "seeds", *TITLES.values()]
    lines = [" | ".join(head), " | ".join(["---", *["---:"] * (len(head) - 1)])]
    for row in table.to_dict("records"):
        cells = [str(row["family"]), str(row["depth"]), str(row["n"])]
        for error in TITLES:
            text = f"{row[error]:.2f}"
            if pd.notna(row[f"{error}_std"]):
                text += f" ± {row[f'{error}_std']:.2f}"
            cells.append(text)
        lines.append(" | ".join(cells))
    return "".join(f"| {line} |\n" for line in lines)

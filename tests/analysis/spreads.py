"""Makes analysis/data/spreads.csv from the records: `python -m tests.analysis.spreads`."""

import pandas as pd

from analysis.readme import RECORDED, recorded
from analysis.spreads import TABLE, conditions
from analysis.statistics import ERRORS, final_errors
from resnet_study.system.files import write_text


def made() -> pd.DataFrame:
    """Standard deviations over seeds, of the record with the most seeds for each set of conditions.

    Among equals, the one in full precision counts, then the one with the most cells. Only cells
    that have started count, with three seeds or more.
    """
    rows = []
    for record in sorted(path.name for path in RECORDED.iterdir() if path.name != "benchmark"):
        for settings, runs in recorded(record).runs.groupby("settings"):
            under, reduced = conditions(settings, runs["data"].iloc[0]), "precision=" in settings
            cells = final_errors(runs).query("started").groupby(["family", "depth"])
            for (family, depth), cell in cells:
                for error in (*ERRORS, "gap"):
                    deviation = round(cell[error].std(), 3)
                    row = (under, family, depth, error, deviation, len(cell), record, reduced)
                    rows.append(row)
    columns = ["conditions", "family", "depth", "error", "spread", "n", "record", "reduced"]
    table = pd.DataFrame(rows, columns=columns).query("n > 2")
    table["cells"] = table.groupby(["conditions", "record"])["n"].transform("size")
    order = {"n": False, "reduced": True, "cells": False, "record": True}
    best = table.sort_values([*order], ascending=[*order.values()])
    chosen = best.groupby("conditions")["record"].first()
    kept = table[table["record"] == table["conditions"].map(chosen)]
    return kept.drop(columns=["reduced", "cells"])


if __name__ == "__main__":
    write_text(TABLE, made().to_csv(index=False))

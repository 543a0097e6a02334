"""Makes analysis/data/spreads.csv from the records: `python -m tests.analysis.spreads`."""

import pandas as pd

from analysis.readme import RECORDED, recorded
from analysis.spreads import TABLE, conditions
from analysis.statistics import ERRORS, final_errors
from resnet_study.system.files import write_text


def made() -> pd.DataFrame:
    """Standard deviations over seeds, from the record of each conditions with the most seeds.

    Of equals the one in full precision counts. Only cells count that have started, with three
    seeds or more.
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
    best = table.sort_values(["n", "reduced", "record"], ascending=[False, True, True])
    chosen = best.groupby("conditions")["record"].first()
    return table[table["record"] == table["conditions"].map(chosen)].drop(columns="reduced")


if __name__ == "__main__":
    write_text(TABLE, made().to_csv(index=False))

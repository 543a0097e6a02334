"""Cell summaries as JSON, kept of records that may go: `python -m tests.analysis.summaries`."""

import dataclasses
import json
import sys
from pathlib import Path

from analysis.cells import Cell, Cells, cells_of
from analysis.load import read_study
from resnet_study.system.files import write_text
from tests.conftest import FIXTURES

FOLDER = FIXTURES / "cells"
NAMES = sorted(path.stem for path in FOLDER.iterdir())
# Fields that map a level, an iteration or a measure to values by seed.
NESTED = {"reached": int, "gradients": int, "final": str, "first_phase": str}
BY_SEED = ("why_not", "untrained", "evaluated", "iterations", "growth", "response")


def read(name: str) -> Cells:
    """The cells of a record, as it was when issue and rules were written."""
    saved = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    cells = []
    for fields in saved["cells"]:
        for field, kind in NESTED.items():
            fields[field] = {kind(key): _by_seed(found) for key, found in fields[field].items()}
        by_seed = {field: _by_seed(fields[field]) for field in BY_SEED}
        cells.append(Cell(**fields | by_seed | {"runs": tuple(fields["runs"])}))
    return Cells({(cell.family, cell.depth): cell for cell in cells}, saved["experiment"])


def _by_seed(found: dict) -> dict:
    return {int(seed): value for seed, value in found.items()}


def write(record: Path) -> None:
    """Saves the cells of a record, numbers to six digits."""
    study = read_study(record)
    cells = cells_of(study.runs, study.probes)
    text = json.dumps([dataclasses.asdict(cell) for cell in cells.cells.values()])
    rounded = json.loads(text, parse_float=lambda number: float(f"{float(number):.6g}"))
    saved = {"experiment": cells.experiment, "cells": rounded}
    write_text(FOLDER / f"{record.name}.json", json.dumps(saved, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        write(Path(folder))

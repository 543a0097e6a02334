"""Runs made of numbers, and recorded runs with something changed."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.cells import Cell, Cells
from analysis.claims import Claim, Verdict
from analysis.claims.judging import judged
from tests.conftest import FIXTURES

RECORDED = FIXTURES / "runs"
RUNS = sorted(path for path in RECORDED.iterdir() if path.is_dir())
RUN = RUNS[0].name
GPU = {"host": "right", "device": "cuda", "device_name": "NVIDIA H200"}

# A clear study: final errors of three seeds per network.
GRID = {
    ("plain", 20): [10, 10.2, 9.8],
    ("plain", 110): [90, 89, 91],
    ("residual-A", 20): [9, 9.2, 8.8],
    ("residual-A", 110): [8, 8.2, 7.9],
    ("residual-B", 20): [9, 9.1, 8.9],
    ("residual-B", 110): [8.5, 8.4, 8.6],
}


def study(cells: Mapping, clean: float = 0.0, test: float = 1.0, **columns: object) -> pd.DataFrame:
    """A frame as from `load_runs`, of finished runs with a row each 10 iterations.

    Args:
        cells: For each family and depth an entry per seed: the training error of all ten rows,
            or a list with that of each row.
        clean: What the clean training error adds to the training error.
        test: What the test error adds.
        columns: Further columns, in place of those made here.
    """
    frames = []
    for (family, depth), seeds in cells.items():
        kind, _, shortcut = family.partition("-")
        for seed, entry in enumerate(seeds):
            errors = pd.Series(entry if isinstance(entry, list) else [entry] * 10, dtype=float)
            described = {
                "run_id": f"{family}-{depth}-{seed}", "kind": kind, "shortcut": shortcut or pd.NA,
                "depth": depth, "seed": seed, "data": "embedded shapes", "schedule": "short",
                "experiment": "made", "state": "finished", "variant": "", "settings": "",
                "paper_iterations": 0,
                "iteration": 10 * (errors.index + 1), "train_error": errors,
                "clean_train_error": errors + clean, "test_error": errors + test,
                "learning_rate": np.nan, "phase": 0, "started": True, "start": pd.NA, "base": pd.NA,
            }  # fmt: skip
            frames.append(pd.DataFrame(described | columns))
    types = {"shortcut": "string", "start": "Int64", "base": "string"}
    return pd.concat(frames, ignore_index=True).astype(types)


def change(run: Path, **values: object) -> None:
    """Changes a manifest; None removes what it has."""
    manifest = json.loads((run / "manifest.json").read_text()) | values
    kept = {key: value for key, value in manifest.items() if value is not None}
    (run / "manifest.json").write_text(json.dumps(kept))


def change_curve(run: Path, edit: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Edits metrics.csv as text cells, and takes the seal away."""
    frame = pd.read_csv(run / "metrics.csv", dtype=str, keep_default_na=False)
    edit(frame).to_csv(run / "metrics.csv", index=False)
    change(run, metrics=None)


def cell(
    family: str,
    depth: int,
    *train: float,
    test: Sequence[float] | None = None,
    spread: float = 0.1,
    **fields: Any,
) -> Cell:
    """A cell of the paper's training: final training errors by seed, and test errors.

    Clean training errors are the running ones, and without `test` test errors, too.
    """
    errors = dict(enumerate(map(float, train)))
    tests = errors if test is None else dict(enumerate(map(float, test)))
    final = {
        "train_error": errors,
        "clean_train_error": errors,
        "test_error": tests,
        "gap": {seed: tests[seed] - errors[seed] for seed in errors},
    }
    runs = tuple(f"{family}-{depth}-{seed}" for seed in errors)
    usual = {"training": 1.0, "rate_fell": True, "final": final}
    return Cell(family, depth, runs=runs, spread=dict.fromkeys(final, spread), **usual | fields)


def at_chance(family: str, depth: int) -> Cell:
    """A cell of three seeds that did not start."""
    return cell(family, depth, 90, 90, 90, why_not=dict.fromkeys(range(3), "at chance"))


def verdict_of(claim: Claim, *found: Cell, option: int = 0) -> Verdict:
    """The verdict on a claim from some cells; `option` counts those of a claim with several."""
    return judged(claim, Cells({(each.family, each.depth): each for each in found}))[option]

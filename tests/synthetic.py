"""Recorded runs made of formulas, as many as asked for, to measure the analysis with."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from resnet_study.config import RunConfig
from resnet_study.runs import METRICS

FAMILIES = (("plain", None), ("residual", "A"), ("residual", "B"))
DEPTHS = (20, 32, 44, 56, 110)


def write_runs(folder: Path, runs: int, rows: int) -> None:
    """Writes finished runs of 100 iterations a row: families, depths, then further seeds."""
    cells = (
        (seed, depth, family)
        for seed in itertools.count()
        for depth, family in itertools.product(DEPTHS, FAMILIES)
    )
    iteration = 100 * np.arange(1, rows + 1)
    for seed, depth, (kind, shortcut) in itertools.islice(cells, runs):
        config = RunConfig.from_mapping(
            {
                "model": {"kind": kind, "depth": depth, "shortcut": shortcut},
                "schedule": {"iterations": 100 * rows, "milestones": [50 * rows]},
                "seed": seed,
                "experiment_name": "synthetic",
            }
        )
        noise = np.random.default_rng([seed, depth, len(kind)]).normal(size=(3, rows))
        end = 0.1 * depth if kind == "plain" else 2
        train, clean, test = end + (90 - end) * np.exp(-6 * iteration / iteration[-1]) + noise
        constant = {"learning_rate": 0.1, "seconds": 100.0, "images_per_second": 2e3}
        constant |= dict.fromkeys(("train_loss", "clean_train_loss", "test_loss"), 1.0)
        errors = {"train_error": train, "clean_train_error": clean, "test_error": test}
        table = pd.DataFrame(
            {"iteration": iteration, "epoch": iteration / 391, **constant, **errors}
        )
        evaluated = table.columns[table.columns.str.match("clean|test")]
        table.loc[iteration % 500 != 0, evaluated] = np.nan
        text = table.to_csv(index=False, columns=METRICS, lineterminator="\n")
        run = folder / config.run_id
        run.mkdir(parents=True)
        (run / "config.yaml").write_text(yaml.safe_dump(config.to_mapping(), sort_keys=False))
        (run / "metrics.csv").write_text(text)
        manifest = {
            "run_id": config.run_id,
            "state": "finished",
            "seconds": 10.0 * depth,
            "parameters": 13_500 * depth,
            "multiply_adds": 2_000_000 * depth,
            "peak_memory_bytes": 10**9,
            "metrics": {"bytes": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()},
        }
        (run / "manifest.json").write_text(json.dumps(manifest))

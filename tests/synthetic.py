"""Recorded runs made of formulas, as many as asked for, to measure the analysis with."""

import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from resnet_study.config import RunConfig
from resnet_study.store.folder import METRICS

FAMILIES = (("plain", None), ("residual", "A"), ("residual", "B"))
DEPTHS = (20, 32, 44, 56, 110)


def write_runs(folder: Path, runs: int, rows: int) -> None:
    """Writes finished runs of 100 iterations a row: families, depths, then further seeds."""
    cells = itertools.product(range(runs), DEPTHS, FAMILIES)
    iteration = 100 * np.arange(1, rows + 1)
    for seed, depth, (kind, shortcut) in itertools.islice(cells, runs):
        model = {"kind": kind, "depth": depth, "shortcut": shortcut}
        schedule = {"iterations": 100 * rows, "milestones": [50 * rows]}
        config = RunConfig.from_mapping({"model": model, "schedule": schedule, "seed": seed})
        noise = np.random.default_rng([seed, depth, len(kind)]).normal(size=(3, rows))
        end = 0.1 * depth if kind == "plain" else 2
        train, clean, test = end + (90 - end) * np.exp(-6 * iteration / iteration[-1]) + noise
        values = [iteration, iteration / 391, 0.1, 1.0, train, 1.0, clean, 1.0, test, 100.0, 2e3]
        frame = pd.DataFrame(dict(zip(METRICS, values, strict=True)))
        frame.loc[iteration % 500 != 0, list(METRICS[5:9])] = np.nan
        text = frame.to_csv(index=False)
        run = folder / config.run_id
        run.mkdir(parents=True)
        (run / "config.yaml").write_text(yaml.safe_dump(config.to_mapping(), sort_keys=False))
        (run / "metrics.csv").write_text(text)
        manifest = {
            "run_id": config.run_id,
            "state": "finished",
            "seconds": 10.0 * depth,
            "metrics": {"bytes": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()},
        }
        (run / "manifest.json").write_text(json.dumps(manifest))

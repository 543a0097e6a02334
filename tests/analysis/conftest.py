"""The recorded runs that tests of loading and drawing share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from analysis.load import load_runs

RECORDED = Path(__file__).resolve().parent.parent / "fixtures" / "runs"


@pytest.fixture
def runs() -> pd.DataFrame:
    """Twelve finished runs: three families, two depths, two seeds."""
    return load_runs(RECORDED)


@pytest.fixture
def hosts(tmp_path):
    """The recorded runs as two hosts leave them: seed 0 on one, seed 1 on the other."""
    folders = [tmp_path / host / "runs" / "figure6" for host in ("left", "right")]
    for run in RECORDED.glob("*/"):
        shutil.copytree(run, folders["-s1-" in run.name] / run.name)
    return folders

"""The recorded runs that tests of loading and drawing share."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analysis.load import load_runs

RECORDED = Path(__file__).resolve().parent.parent / "fixtures" / "runs"


@pytest.fixture
def runs() -> pd.DataFrame:
    """Twelve finished runs: three families, two depths, two seeds."""
    return load_runs(RECORDED)

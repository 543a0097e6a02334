"""Recorded runs, and their reports: each drawn once for all tests that only read it."""

import html
import io
import json
import re
import shutil
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import pytest

from analysis.__main__ import main
from analysis.load import load_runs
from tests.analysis.made import RECORDED


class Page:
    """A page: its source, its visible text, what it refers to, and its ids."""

    def __init__(self, file: Path) -> None:
        self.source = file.read_text()
        body = re.sub(r"<(script|style)\b.*?</\1>", " ", self.source, flags=re.DOTALL)
        self.text = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())
        self.addresses = re.findall(r'\b(?:src|href)="([^"]*)"', body)
        self.ids = re.findall(r'\bid="([^"]*)"', body)


@dataclass(frozen=True)
class Report:
    """What `python -m analysis` has drawn into a folder, and printed."""

    output: Path
    printed: str

    @cached_property
    def page(self) -> Page:
        return Page(self.output / "index.html")

    @cached_property
    def verdict(self) -> dict:
        return json.loads((self.output / "verdict.json").read_text())

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.output / f"{name}.csv")


def draw(*arguments: object, output: Path) -> Report:
    """Draws folders, as the command does; it must succeed."""
    with redirect_stdout(io.StringIO()) as printed:
        assert main([*map(str, arguments), "--output", str(output)]) == 0
    return Report(output, printed.getvalue())


@pytest.fixture(scope="session")
def runs() -> pd.DataFrame:
    """Twelve finished runs: three families, two depths, two seeds. Tests must not change it."""
    return load_runs(RECORDED)


@pytest.fixture(scope="session")
def report(tmp_path_factory) -> Report:
    """The report of the recorded runs; tests must not change it."""
    return draw(RECORDED, output=tmp_path_factory.mktemp("report"))


@pytest.fixture
def without_pictures(monkeypatch):
    """Leaves out the files for print, which take most of a report's time."""
    monkeypatch.setattr("analysis.report.rendered", lambda figure: {"svg": b"<svg/>"})


@pytest.fixture
def drawn(tmp_path, without_pictures):
    """Draws folders without pictures: `drawn(folder, "--final", "1")`."""
    return lambda *arguments: draw(*arguments, output=tmp_path / "out")


@pytest.fixture
def folder(tmp_path) -> Path:
    """A copy of the recorded runs."""
    return Path(shutil.copytree(RECORDED, tmp_path / "runs"))

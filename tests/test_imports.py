"""Who may import whom: downwards only, as CONTRIBUTING says."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
ORDER = [
    {"errors"},
    {"files", "fields", "interruption", "processes", "processor"},
    {"groups"},
    {"config"},
    {"runs", "models", "data", "probes"},
    {"slurm", "training", "progress", "events", "logs", "machine"},
    {"start", "outputs"},
    {"finished"},
    {"experiment"},
    {"sweep"},
    {"benchmark"},
    {"__main__"},
    {"plan", "evaluate"},
]
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}
SIBLINGS = {"runs", "models", "data", "probes"}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def unit(path: Path) -> str:
    part = path.relative_to(CHECKOUT / "resnet_study").parts[0]
    return part.removesuffix(".py")


STUDY = sorted((CHECKOUT / "resnet_study").rglob("*.py"))
ANALYSIS = sorted((CHECKOUT / "analysis").rglob("*.py"))


@pytest.mark.parametrize("path", STUDY, ids=lambda p: str(p.relative_to(CHECKOUT)))
def test_the_study_imports_downwards(path):
    here = unit(path)
    if here == "__init__":
        return
    for name in imports(path):
        top, _, rest = name.partition(".")
        assert top != "analysis"
        if top in ("hydra", "omegaconf"):
            assert here == "__main__", f"{here} sees Hydra"
        if top != "resnet_study" or not rest:
            continue
        there = rest.split(".")[0]
        if there == here or there not in RANK:
            continue
        assert RANK[there] <= RANK[here], f"{here} imports {there}"
        assert not (here in SIBLINGS and there in SIBLINGS), f"{here} imports its sibling {there}"


@pytest.mark.parametrize("path", ANALYSIS, ids=lambda p: str(p.relative_to(CHECKOUT)))
def test_the_analysis_knows_little_of_the_study(path):
    allowed = {"errors", "config", "runs", "files"}
    for name in imports(path):
        top, _, rest = name.partition(".")
        assert top not in ("torch", "torchvision")
        if top == "resnet_study" and rest:
            assert rest.split(".")[0] in allowed, f"{path.name} imports {name}"


def test_config_and_runs_need_no_torch():
    for name in ("errors", "files", "fields", "groups", "config", "runs"):
        place = CHECKOUT / "resnet_study" / name
        files = place.glob("*.py") if place.is_dir() else [place.with_suffix(".py")]
        found = {entry for file in files for entry in imports(file)}
        assert found
        assert not any(entry.split(".")[0] == "torch" for entry in found)

"""Who may import whom: downwards only, as CONTRIBUTING says."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import CHECKOUT

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


def imports(package: str) -> Iterator[tuple[Path, str]]:
    """Each file of a package, as a path below it, and each name that the file imports."""
    root = CHECKOUT / package
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                assert not getattr(node, "level", 0), f"{path}: relative import"
                prefix = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
                yield from ((path.relative_to(root), prefix + alias.name) for alias in node.names)


def part(name: str) -> str:
    """What of the study an import names: "config" for "resnet_study.config.RunConfig"."""
    top, *rest = name.split(".")
    return rest[0] if top == "resnet_study" and rest else ""


def test_the_study_imports_downwards():
    parts = set()
    for path, name in imports("resnet_study"):
        here, there = path.parts[0].removesuffix(".py"), part(name)
        top = name.split(".")[0]
        assert top != "analysis", path
        assert here == "__main__" or top not in ("hydra", "omegaconf"), f"{path} sees Hydra"
        if here != "__init__" and there in RANK and here != there:
            assert RANK[there] <= RANK[here], f"{path} imports {name}"
            assert not {here, there} <= SIBLINGS, f"{path} imports its sibling {name}"
        parts.add(here)
    assert parts - {"__init__"} == set(RANK)


def test_the_analysis_knows_little_of_the_study():
    for path, name in imports("analysis"):
        assert name.split(".")[0] not in ("torch", "torchvision"), path
        assert part(name) in {"", "errors", "config", "runs", "files"}, f"{path} imports {name}"


def test_config_and_runs_need_no_torch():
    names = {"errors", "files", "fields", "groups", "config", "runs"}
    found = [n for p, n in imports("resnet_study") if p.parts[0].removesuffix(".py") in names]
    assert len(found) > 20
    assert not [name for name in found if name.split(".")[0] == "torch"]

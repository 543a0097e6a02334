"""Who may import whom: downwards only, as CONTRIBUTING says."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

ORDER = [
    {"system"},
    {"config"},
    {"models", "data", "probes"},
    {"training"},
    {"store", "progress"},
    {"experiment"},
    {"sweep"},
    {"jobs"},
    {"cli"},
    {"plan", "evaluate", "benchmark", "__main__"},
]
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}
SIBLINGS = {"models", "data", "probes"}
# Tables that config reads, although they lie in higher parts, and the files that they run.
TABLES = {
    "data.sets": ("data/__init__.py", "data/source.py", "data/sets/*.py"),
    "models.architectures": ("models/__init__.py", "models/architectures.py"),
    "training.optimizers": ("training/__init__.py", "training/optimizers.py"),
    "training.schedule": ("training/__init__.py", "training/schedule.py"),
}
# What the analysis may use, and what therefore needs no torch.
LIGHT = {"config", "system.command", "system.errors", "system.files", "store.folder"}


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
    """What of the study an import names: "store" for "resnet_study.store.folder.RunFolder"."""
    top, *rest = name.split(".")
    return rest[0] if top == "resnet_study" and rest else ""


def within(name: str, module: str) -> bool:
    """Whether a dotted name is that of a module or of something in it."""
    return name == module or name.startswith(f"{module}.")


def light(name: str) -> bool:
    """Whether a dotted name below `resnet_study` belongs to what needs no torch."""
    return any(within(name, one) for one in LIGHT)


def test_the_study_imports_downwards():
    parts = set()
    for path, name in imports("resnet_study"):
        here, there = path.parts[0].removesuffix(".py"), part(name)
        top = name.split(".")[0]
        assert top != "analysis", path
        assert here == "cli" or top not in ("hydra", "omegaconf"), f"{path} sees Hydra"
        if here == "config" and any(within(name, f"resnet_study.{table}") for table in TABLES):
            continue
        if here != "__init__" and there in RANK and here != there:
            assert RANK[there] <= RANK[here], f"{path} imports {name}"
            assert not {here, there} <= SIBLINGS, f"{path} imports its sibling {name}"
        parts.add(here)
    assert parts - {"__init__"} == set(RANK)


def test_the_analysis_knows_little_of_the_study():
    for path, name in imports("analysis"):
        assert name.split(".")[0] not in ("torch", "torchvision"), path
        assert not part(name) or light(name.removeprefix("resnet_study.")), f"{path} imports {name}"


def test_what_the_analysis_uses_needs_no_torch():
    found = [
        name
        for path, name in imports("resnet_study")
        if light(".".join(path.with_suffix("").parts).removesuffix(".__init__"))
    ]
    assert len(found) > 20
    assert not [name for name in found if name.split(".")[0] == "torch"]


@pytest.mark.parametrize("table", TABLES)
def test_tables_that_config_reads_import_nothing_heavy_at_the_top(table):
    own = ("resnet_study.system.errors", f"resnet_study.{table}", "resnet_study.data.source")
    files = [file for glob in TABLES[table] for file in (CHECKOUT / "resnet_study").glob(glob)]
    assert len(files) > 1
    for file in files:
        # What stands in functions, or is for types alone, is not imported with the module.
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                name = getattr(node, "module", None) or node.names[0].name
                mine = any(within(name, module) for module in own)
                standard = name.split(".")[0] in sys.stdlib_module_names
                assert mine or standard, f"{file} imports {name}"


@pytest.mark.slow
def test_a_config_loads_without_torch():
    line = "import sys, resnet_study.config; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", line], cwd=CHECKOUT, check=True)

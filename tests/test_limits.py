"""Sizes that keep the study readable: of files, functions and the list of modules."""

import ast

from tests.conftest import CHECKOUT

PACKAGES = ("resnet_study", "hydra_plugins", "analysis")
FILES = [path for part in PACKAGES for path in CHECKOUT.glob(f"{part}/**/*.py")]


def docstring_lines(function: ast.FunctionDef) -> int:
    first = function.body[0]
    has = ast.get_docstring(function) is not None
    return first.end_lineno - first.lineno + 1 if has else 0


def test_files_and_functions_fit_a_reader():
    assert len(FILES) > 140
    for path in FILES:
        text = path.read_text()
        assert len(text.splitlines()) <= 300, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                lines = node.end_lineno - node.lineno + 1 - docstring_lines(node)
                assert lines <= 60, f"{path}: {node.name} has {lines} lines without its docstring"
                inner = [n for n in ast.walk(node) if isinstance(n, ast.FunctionDef | ast.Lambda)]
                assert len(inner) <= 3, f"{path}: {node.name} has {len(inner) - 1} closures"


def test_a_run_is_a_page_and_the_top_is_a_short_list():
    study = CHECKOUT / "resnet_study"
    assert len((study / "experiment.py").read_text().splitlines()) <= 140
    assert len(list(study.glob("*.py"))) <= 8

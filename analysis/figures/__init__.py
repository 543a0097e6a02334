"""Figures: each `Drawing` in a module of this package is found by itself, and says all of it."""

from __future__ import annotations

import importlib
import pkgutil

from analysis.figures.drawing import Drawing


def _registered() -> tuple[Drawing, ...]:
    """The figures of all modules of this package, in the order in which reports list them."""
    names = [f"{__name__}.{found.name}" for found in pkgutil.iter_modules(__path__)]
    values = [value for name in names for value in vars(importlib.import_module(name)).values()]
    drawings = [value for value in values if isinstance(value, Drawing)]
    return tuple(sorted(drawings, key=lambda drawing: drawing.order))


DRAWINGS = _registered()

# For notebooks. After the registry, because the import of a module binds its name to the module.
from analysis.figures.error_by_depth import error_by_depth  # noqa: E402
from analysis.figures.learning_curves import learning_curves  # noqa: E402

__all__ = ["DRAWINGS", "Drawing", "error_by_depth", "learning_curves"]

"""Figures: the registry finds the `Drawing` of each module, which says all about the figure."""

from __future__ import annotations

import importlib
import pkgutil

from analysis.figures.drawing import Drawing as Drawing


def _registered() -> tuple[Drawing, ...]:
    """The figures of all modules of this package, in the order in which reports list them."""
    names = [f"{__name__}.{found.name}" for found in pkgutil.iter_modules(__path__)]
    values = [value for name in names for value in vars(importlib.import_module(name)).values()]
    drawings = [value for value in values if isinstance(value, Drawing)]
    return tuple(sorted(drawings, key=lambda drawing: drawing.order))


DRAWINGS = _registered()

# For notebooks. After the registry, because importing a module binds its name to the module.
from analysis.figures.constructed_sibling import constructed_sibling as constructed_sibling  # noqa: E402
from analysis.figures.error_by_depth import error_by_depth as error_by_depth  # noqa: E402
from analysis.figures.gradient_flow import gradient_flow as gradient_flow  # noqa: E402
from analysis.figures.layer_responses import layer_responses as layer_responses  # noqa: E402
from analysis.figures.learning_curves import learning_curves as learning_curves  # noqa: E402
from analysis.figures.optimisation_speed import optimisation_speed as optimisation_speed  # noqa: E402
from analysis.figures.shattered_gradients import shattered_gradients as shattered_gradients  # noqa: E402
from analysis.figures.shortcut_options import shortcut_options as shortcut_options  # noqa: E402
from analysis.figures.side_by_side import side_by_side as side_by_side  # noqa: E402
from analysis.figures.throughput import throughput as throughput  # noqa: E402

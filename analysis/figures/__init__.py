"""Figures: each function takes a frame and returns a matplotlib Figure."""

from analysis.figures.error_by_depth import error_by_depth
from analysis.figures.learning_curves import learning_curves
from analysis.figures.optimisation_speed import optimisation_speed
from analysis.figures.shortcut_options import shortcut_options
from analysis.figures.side_by_side import side_by_side

__all__ = [
    "error_by_depth",
    "learning_curves",
    "optimisation_speed",
    "shortcut_options",
    "side_by_side",
]

"""Figures: each function takes a frame and returns a matplotlib Figure."""

from analysis.figures.constructed_sibling import constructed_sibling
from analysis.figures.error_by_depth import error_by_depth
from analysis.figures.gradient_flow import gradient_flow
from analysis.figures.layer_responses import layer_responses
from analysis.figures.learning_curves import learning_curves
from analysis.figures.optimisation_speed import optimisation_speed
from analysis.figures.shattered_gradients import shattered_gradients
from analysis.figures.shortcut_options import shortcut_options
from analysis.figures.side_by_side import side_by_side
from analysis.figures.throughput import throughput

__all__ = [
    "constructed_sibling",
    "error_by_depth",
    "gradient_flow",
    "layer_responses",
    "learning_curves",
    "optimisation_speed",
    "shattered_gradients",
    "shortcut_options",
    "side_by_side",
    "throughput",
]

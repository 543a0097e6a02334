"""Figures: each function takes a frame and returns a matplotlib Figure."""

from analysis.figures.constructed_sibling import constructed_sibling as constructed_sibling
from analysis.figures.error_by_depth import error_by_depth as error_by_depth
from analysis.figures.gradient_flow import gradient_flow as gradient_flow
from analysis.figures.layer_responses import layer_responses as layer_responses
from analysis.figures.learning_curves import learning_curves as learning_curves
from analysis.figures.optimisation_speed import optimisation_speed as optimisation_speed
from analysis.figures.shattered_gradients import shattered_gradients as shattered_gradients
from analysis.figures.shortcut_options import shortcut_options as shortcut_options
from analysis.figures.side_by_side import side_by_side as side_by_side
from analysis.figures.throughput import throughput as throughput

"""Figures: each function takes a frame and returns a matplotlib Figure."""

from analysis.figures.error_by_depth import error_by_depth
from analysis.figures.learning_curves import learning_curves

__all__ = ["error_by_depth", "learning_curves"]

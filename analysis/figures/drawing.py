"""What the module of a figure says about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure


@dataclass(frozen=True)
class Drawing:
    """A figure of the reports: its name, its place, what it needs and how it is drawn.

    Attributes:
        name: Stem of the files that hold the figure for print.
        order: Place among the figures, in ascending order.
        draw: Makes the figure for print from a frame of runs, or of probes if `probe` is set.
        title: Heading on the page; empty for a figure that is not on the page.
        reading: The caption on the page: how to read the figure, in a sentence or two.
        section: Part of the page, "answer" or "figures"; "comparison" for the page that sets
            studies side by side, whose runs have a column `study`.
        needs: Whether a frame holds something to draw.
        probe: The measure in probes.csv that the figure shows; empty for a figure of runs.
        choice: Its name among the figures that follow one another with the same title; the page
            shows one of them at a time.
    """

    name: str
    order: float
    draw: Callable[[pd.DataFrame], Figure]
    title: str = ""
    reading: str = ""
    section: str = "figures"
    needs: Callable[[pd.DataFrame], bool] = lambda _: True
    probe: str = ""
    choice: str = ""

    def drawn(self, runs: pd.DataFrame, probes: pd.DataFrame) -> Figure | None:
        """Draws the figure for print; None where the runs have nothing to show in it."""
        frame = probes if self.probe else runs
        if self.probe and self.probe not in set(frame["measure"]):
            return None
        return self.draw(frame) if self.needs(frame) else None

"""What the page shows of a curve under the pointer, kept in the SVG's ids.

The page reads a figure's own SVG: the vertices of a curve give its values, and the id of its
group says whose they are. An id is a query string, such as `name=…&family=plain&depth=20`.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from matplotlib.artist import Artist
from matplotlib.axes import Axes


def describe(artist: Artist, **facts: Any) -> None:
    """Says what an artist shows.

    Args:
        artist: A line, marks, a collection of lines, or a band.
        facts: `family` and `depth`, by which the page switches the artist on and off; `name`, a
            run or a mean, without which nothing is shown under the pointer; `y`, the name of
            the value. One `name` per line of a collection; one `x` and `note` per vertex, `x`
            where the artist is drawn shifted aside.
    """
    artist.set_gid(urlencode(facts, doseq=True, quote_via=quote))


def describe_axes(axes: Axes, **facts: Any) -> None:
    """Says what the finished axes of a panel span, so that the page can read values.

    Args:
        axes: With linear scales; where x is not, each vertex says its own.
        facts: `x`, the name of what is on the x axis; `family`, of a panel that shows one alone.
    """
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    describe(axes, left=left, right=right, bottom=bottom, top=top, **facts)

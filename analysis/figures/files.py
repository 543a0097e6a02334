"""The files of a figure for print: PNG, SVG and PDF."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.figure import Figure

from analysis.figures.style import print_style
from resnet_study.system.files import writing

FORMATS = ("png", "svg", "pdf")


@print_style()
def rendered(figure: Figure) -> dict[str, bytes]:
    """A figure in each of `FORMATS`."""
    # Laid out once for all formats; each would otherwise lay it out and draw it again.
    if engine := figure.get_layout_engine():
        engine.execute(figure)
    figure.set_layout_engine(None)
    files = {}
    for suffix in FORMATS:
        stream = io.BytesIO()
        # Without a date the same runs give the same file.
        dated = {"svg": "Date", "pdf": "CreationDate"}.get(suffix)
        figure.savefig(stream, format=suffix, metadata=dated and {dated: None})
        files[suffix] = stream.getvalue()
    return files


def write_pictures(files: dict[str, bytes], stem: Path) -> list[Path]:
    """Writes a figure's files, as from `rendered`; returns the paths.

    Raises:
        StorageError: A file cannot be written.
    """
    for suffix, content in files.items():
        with writing(stem.with_suffix(f".{suffix}")) as target:
            target.write(content)
    return [stem.with_suffix(f".{suffix}") for suffix in files]

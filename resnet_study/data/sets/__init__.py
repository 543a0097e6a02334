"""The table of data sets: each module of this package defines `SOURCES`, its entries."""

import importlib
import pkgutil

from resnet_study.data.source import Source


def _found() -> dict[str, Source]:
    """All entries by name: images in memory first, then folders that the user names."""
    names = sorted(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__))
    sources = [entry for name in names for entry in importlib.import_module(name).SOURCES]
    return {entry.name: entry for entry in sorted(sources, key=lambda entry: bool(entry.layout))}


SOURCES = _found()

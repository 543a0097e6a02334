"""What trained networks score on one view or several of each image: the paper's Tables 2 to 4."""

from __future__ import annotations

import math

import pandas as pd

from analysis.networks import IDENTITY, identity
from analysis.paper import IMAGENET, TABLE2_TOP1, TABLE3, TABLE4
from analysis.statistics import by_cells
from analysis.study import Study
from analysis.tables import Titled

VIEWS = {
    "single": ("single crop", "The centre crop of each image.", {}),
    "ten_crop": (
        "10-crop",
        "Four corners and the centre, mirrored too; softmax outputs are averaged.",
        {network: (top1, math.nan) for network, top1 in TABLE2_TOP1.items()} | TABLE3,
    ),
    "multi_scale": (
        "multi-scale",
        "Whole images at five scales, softmax outputs averaged; features are pooled over the "
        "whole image, mirrored images are not added.",
        TABLE4,
    ),
}
SOURCE = {"ten_crop": "Tables 2 and 3", "multi_scale": "Table 4"}


def evaluations(study: Study) -> pd.DataFrame:
    """Each finished run's errors in each view that it was evaluated on.

    Returns:
        `run_id, family, depth, seed, view, top1_error, top5_error`, in percent; the last is
        missing where there are no more than five classes.
    """
    rows = [
        {
            **identity(run_id, config),
            "view": view,
            "top1_error": scores["error"],
            "top5_error": scores["top5_error"],
        }
        for run_id, config in study.configs.items()
        for view, scores in (study.manifests[run_id].get("evaluation") or {}).items()
        if view in VIEWS
    ]
    columns = [*IDENTITY, "view", "top1_error", "top5_error"]
    return pd.DataFrame(rows, columns=columns).astype({"top1_error": float, "top5_error": float})


def of_imagenet(study: Study) -> bool:
    """Whether the runs are of the paper's images, by their number; else its errors are no match."""
    data = [manifest.get("data") or {} for manifest in study.manifests.values()]
    return bool(data) and all(
        each.get("title") == "ImageNet" and IMAGENET.items() <= each.items() for each in data
    )


def evaluation_tables(study: Study) -> dict[str, Titled]:
    """A table for each view that the runs were evaluated on, by the name of its files.

    The paper's numbers stand beside ours where the images are the paper's, and nowhere else.
    """
    found, tables, beside = evaluations(study), {}, of_imagenet(study)
    for view, (title, note, published) in VIEWS.items():
        runs = found[found["view"] == view]
        if runs.empty:
            continue
        errors = [name for name in ("top1_error", "top5_error") if runs[name].notna().any()]
        table = by_cells(runs, errors)
        if beside and published:
            table = _with_published(table, published)
            note += f" The paper's numbers are from its {SOURCE[view]}."
        tables[f"evaluation_{view}"] = Titled(f"Errors of trained networks, {title}", table, note)
    return tables


def _with_published(
    table: pd.DataFrame, published: dict[tuple[str, int], tuple[float, float]]
) -> pd.DataFrame:
    networks = list(zip(table["family"], table["depth"], strict=True))
    numbers = [published.get(network, (math.nan, math.nan)) for network in networks]
    columns = {"paper_top1_error": 0, "paper_top5_error": 1}
    return table.assign(**{name: [pair[i] for pair in numbers] for name, i in columns.items()})

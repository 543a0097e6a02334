"""Errors of trained networks on one or several views of each image (the paper's Tables 2 to 4)."""

import pandas as pd

from analysis.manifest import data_of
from analysis.networks import IDENTITY
from analysis.paper import IMAGENET, imagenet_errors
from analysis.statistics import by_cells
from analysis.study import Study
from analysis.tables import Titled

# Title and note of each view, and the tables of the paper that report it.
VIEWS = {
    "single": ("single crop", "The centre crop of each image.", ""),
    "ten_crop": (
        "10-crop",
        "Four corners and the centre, mirrored too; softmax outputs are averaged.",
        "Tables 2 and 3",
    ),
    "multi_scale": (
        "multi-scale",
        "Whole images at five scales, softmax outputs averaged; features are pooled over the "
        "whole image, mirrored images are not added.",
        "Table 4",
    ),
}
ERRORS = ["top1_error", "top5_error"]


def evaluations(study: Study) -> pd.DataFrame:
    """Each finished run's errors in each view that it was evaluated on.

    Returns:
        `run_id, family, depth, seed, view, top1_error, top5_error`, errors in percent; the last
        is missing for five classes or fewer.
    """
    rows = [
        (run_id, view, scores.get("error"), scores.get("top5_error"))
        for run_id, manifest in study.manifests.items()
        for view, scores in (manifest.get("evaluation") or {}).items()
        if view in VIEWS
    ]
    found = pd.DataFrame(rows, columns=["run_id", "view", *ERRORS])
    return study.each[IDENTITY].merge(found.astype(dict.fromkeys(ERRORS, float)))


def of_imagenet(study: Study) -> bool:
    """Whether the runs are of ImageNet, with as many images and classes as in the paper."""
    data = [data_of(manifest) for manifest in study.manifests.values()]
    return bool(data) and all(
        each.get("title") == "ImageNet" and IMAGENET.items() <= each.items() for each in data
    )


def evaluation_tables(study: Study) -> dict[str, Titled]:
    """A table for each view that the runs were evaluated on, by the name of its files.

    The paper's errors are added only if the runs are of the paper's images.
    """
    found, tables, beside = evaluations(study), {}, of_imagenet(study)
    for view, (title, note, source) in VIEWS.items():
        runs = found[found["view"] == view]
        if runs.empty:
            continue
        table = by_cells(runs, [name for name in ERRORS if runs[name].notna().any()])
        if beside and source:
            table = table.merge(imagenet_errors(source), how="left")
            note += f" The paper's numbers are from its {source}."
        tables[f"evaluation_{view}"] = Titled(f"Errors of trained networks, {title}", table, note)
    return tables

"""Where the paper's numbers may stand beside ours, and what the comparison says."""

import numpy as np
import pandas as pd
import pytest

from analysis.figure6 import beside_figure6, mean_differences
from analysis.load import read_study
from analysis.paper import figure6_curves
from analysis.protocol import paper_iterations
from analysis.report import tables_of
from resnet_study.config import RunConfig
from resnet_study.store.folder import RunFolder
from tests.analysis.made import study
from tests.conftest import CHECKOUT

RECORDED = CHECKOUT / "runs" / "recorded"

QUARTER = {"name": "quarter", "iterations": 16_000, "milestones": [8_000, 12_000]}


@pytest.mark.parametrize(
    ("changes", "iterations"),
    [
        ({}, 64_000),
        ({"precision": "bf16", "seed": 3, "model": {"depth": 56}}, 64_000),
        ({"schedule": {"log_every": 50, "eval_every": 100, "eval_train_images": None}}, 64_000),
        ({"schedule": QUARTER, "precision": "bf16"}, 8_000),
        ({"schedule": {"eval_statistics": "recomputed"}, "model": {"head_std": 0.01}}, 64_000),
        ({"schedule": {"iterations": 100_000, "milestones": [50_000]}}, 32_000),
        ({"schedule": QUARTER | {"learning_rate": 0.05}}, 0),
        ({"schedule": QUARTER | {"batch_size": 64}}, 0),
        ({"schedule": {"milestones": []}}, 32_000),
        ({"schedule": {"iterations": 5_000, "milestones": []}}, 5_000),
        ({"schedule": {"milestones": [], "decay": "cosine"}}, 0),
        ({"schedule": {"warmup": {"iterations": 200, "until_error": None, "min_depth": 0}}}, 0),
        ({"data": {"validation_images": 5000}}, 0),
        ({"data": {"augment": {"flip": False}}}, 0),
        ({"data": {"label": "CIFAR-10 again"}}, 0),
        ({"data": {"name": "cifar100"}}, 0),
        ({"data": {"name": "image_folder", "root": "x", "label": "CIFAR-10"}}, 0),
        ({"batch_norm_parts": 2}, 0),
        ({"model": {"width": 8}}, 0),
    ],
)
def test_a_run_follows_the_paper_while_images_batch_rate_and_augmentation_do(changes, iterations):
    assert paper_iterations(RunConfig.from_mapping(changes)) == iterations


def made(end, **columns):
    """Rows every 100 iterations of a residual network of 20 layers, at the paper's errors."""
    paper = figure6_curves().query("kind == 'residual' and depth == 20")
    runs = study({("residual-A", 20): [1.0]})
    rows = np.arange(100, end + 1, 100)
    frame = pd.concat([runs.iloc[[0]]] * len(rows), ignore_index=True)
    known = paper.dropna(subset=["train_error"])
    error = np.interp(rows, known["iteration"], known["train_error"]) + 1.5
    return frame.assign(iteration=rows, train_error=error, test_error=np.nan, **columns)


def test_errors_are_compared_at_the_papers_points_within_the_shared_phase():
    runs = made(8_000, paper_iterations=6_500, phase=0)
    table = beside_figure6(runs)
    assert set(table["error"]) == {"training"}
    assert table["iteration"].between(2_000, 6_500).all()
    assert table["paper"].max() < 20
    assert len(table) == 4
    # Straight between the paper's points, a mean of 1,000 iterations is near the point itself.
    assert table["difference"].to_numpy() == pytest.approx([1.5] * len(table), abs=0.6)
    last = table.iloc[-1]
    near = runs[
        (runs["iteration"] - last["iteration"]).abs().le(500) & (runs["iteration"] <= 6_500)
    ]
    assert last["ours"] == pytest.approx(near["train_error"].mean())
    assert beside_figure6(runs.assign(paper_iterations=0)).empty
    # A run that has not come as far as a point does not stand beside it.
    begun = beside_figure6(runs[runs["iteration"] < last["iteration"]])
    assert begun["iteration"].max() < last["iteration"]


def test_no_number_of_other_data_or_schedules_stands_beside_the_papers():

    for file in sorted(RECORDED.glob("*/*/config.yaml")):
        config = RunFolder(file.parent).read_config()
        if paper_iterations(config):
            assert config.canonical().get("data") is None, file
    for name, beside, whole in (
        ("quick", False, False),
        ("quarter", True, False),
        ("figure6", True, True),
    ):
        found = read_study(RECORDED / name)
        assert beside_figure6(found.runs).empty != beside
        columns = tables_of(found)["results"].frame.columns
        assert any(column.startswith("paper_") for column in columns) == whole


def test_means_are_taken_apart_for_each_rate():
    means = mean_differences(beside_figure6(read_study(RECORDED / "figure6").runs))
    plain = means[(means["family"] == "plain") & (means["error"] == "test")]
    assert plain["phase"].to_list() == [0, 1, 2]
    assert (plain["first"] >= [3_900, 32_000, 48_000]).all()
    assert (plain["last"] < [32_000, 48_000, 64_000]).all()
    # High while the rate is, for batch norm's running statistics; below the paper after it fell.
    assert (plain["difference"] > 0).to_list() == [True, False, False]

"""Tables of what trained networks score: ours, and the paper's where the images are its own."""

import itertools
from dataclasses import replace

import pytest

from analysis.evaluations import evaluation_tables, evaluations
from analysis.load import read_study
from analysis.networks import variant_of
from analysis.paper import IMAGENET
from analysis.report import tables_of
from analysis.tables import costs, markdown
from resnet_study.config import RunConfig
from tests.analysis.made import RECORDED

NETWORKS = (("plain", None, 18), ("plain", None, 34), ("residual", "A", 18), ("residual", "A", 34),
            ("residual", "B", 50))  # fmt: skip
# As experiment=imagenet has it.
PHOTOS = {"name": "streamed_folder", "root": "photos", "augment": {"padding": 0, "colour": 0.1}}


def scored(title="ImageNet", seeds=1, **data):
    """A study of ImageNet's family; its curves are of other runs."""
    configs, manifests = {}, {}
    for seed, (number, network) in itertools.product(range(seeds), enumerate(NETWORKS)):
        model = dict(zip(("kind", "shortcut", "depth"), network, strict=True))
        model |= {"width": 64, "architecture": "imagenet"}
        config = RunConfig.from_mapping({"model": model, "data": PHOTOS, "seed": seed})
        scores = {"error": 40.0 + number + seed, "top5_error": 20.0 - number, "images": 50_000}
        configs[config.run_id] = config
        manifests[config.run_id] = {
            "state": "finished",
            "seconds": 100.0,
            "waiting_seconds": 25.0,
            "data": {"title": title} | IMAGENET | data,
            "evaluation": dict.fromkeys(("single", "ten_crop", "multi_scale"), scores),
        }
    return replace(read_study(RECORDED), configs=configs, manifests=manifests)


def test_the_papers_numbers_stand_beside_ours_on_its_images():
    tables = evaluation_tables(scored())
    assert list(tables) == ["evaluation_single", "evaluation_ten_crop", "evaluation_multi_scale"]
    single, ten, multi = (table.frame.set_index(["family", "depth"]) for table in tables.values())
    assert ten["paper_top1_error"].tolist() == [27.94, 28.54, 27.88, 25.03, 22.85]
    assert ten.loc[("residual-A", 34), "paper_top5_error"] == 7.76
    assert ten["top1_error"].tolist() == [40, 41, 42, 43, 44]
    assert ten["top5_error"].tolist() == [20, 19, 18, 17, 16]
    assert multi["paper_top1_error"].dropna().to_dict() == {("residual-B", 50): 20.74}
    assert "paper_top1_error" not in single
    assert "Tables 2 and 3" in tables["evaluation_ten_crop"].note
    text = markdown(tables["evaluation_ten_crop"].frame)
    assert "| residual A | 34 | 1 | 43.00 | 17.00 | 25.03 | 7.76 |" in text


@pytest.mark.parametrize(
    "other", [{"title": "My photos"}, {"train_images": 100}, {"classes": 10}, {"test_images": 9}]
)
def test_they_stand_beside_no_other_images(other):
    for table in evaluation_tables(scored(**other)).values():
        assert not any("paper" in column for column in table.frame)
        assert "paper's numbers" not in table.note


def test_seeds_are_summed_up_and_a_report_has_scores_where_there_are_any(report):
    study = scored(seeds=3)
    assert len(evaluations(study)) == 45
    table = evaluation_tables(study)["evaluation_single"].frame
    assert table["n"].tolist() == [3] * 5
    assert table["top1_error"].tolist() == [41, 42, 43, 44, 45]
    assert table["top1_error_std"].tolist() == [1.0] * 5
    assert costs(study)["waiting"].tolist() == [25.0] * 5
    # They are the study's own networks, which claims are judged by.
    assert {variant_of(config) for config in study.configs.values()} == {""}
    assert set(tables_of(study)) >= {"evaluation_ten_crop", "results", "costs"}
    assert evaluation_tables(read_study(RECORDED)) == {}
    assert "waiting" not in report.table("costs")

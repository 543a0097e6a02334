"""Tables of what trained networks score: ours, and the paper's where the images are its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from analysis.evaluations import evaluation_tables, evaluations
from analysis.load import costs_of, read_study
from analysis.paper import IMAGENET
from analysis.report import tables_of, write_report
from analysis.tables import costs, markdown
from analysis.verdict import verdict
from resnet_study.config import RunConfig
from resnet_study.errors import StudyError
from tests.conftest import FIXTURES

NETWORKS = (
    ("plain", None, 18), ("plain", None, 34), ("residual", "A", 18), ("residual", "A", 34),
    ("residual", "B", 50),
)  # fmt: skip


def make(folder: Path, title: str = "ImageNet", seeds: int = 1, **data: int) -> Path:
    """Runs of ImageNet's family whose curves are another run's."""
    metrics = next((FIXTURES / "runs").glob("plain-*/metrics.csv"))
    for number, (kind, shortcut, depth) in enumerate(NETWORKS):
        for seed in range(seeds):
            config = RunConfig.from_mapping(
                {
                    "model": {
                        "kind": kind, "shortcut": shortcut, "depth": depth, "width": 64,
                        "architecture": "imagenet",
                    },
                    "data": {
                        "name": "streamed_folder", "root": "photos", "label": title,
                        # As experiment=imagenet has it.
                        "augment": {"padding": 0, "colour": 0.1},
                    },
                    "schedule": {"iterations": 12, "milestones": []},
                    "seed": seed,
                }
            )  # fmt: skip
            run = folder / config.run_id
            run.mkdir(parents=True)
            (run / "config.yaml").write_text(yaml.safe_dump(config.to_mapping()))
            shutil.copy(metrics, run)
            scores = {"error": 40.0 + number + seed, "top5_error": 20.0 - number, "images": 50_000}
            manifest = {
                "run_id": config.run_id, "state": "finished", "seconds": 100.0,
                "waiting_seconds": 25.0, "device_name": "An Abacus", "parameters": 1,
                "multiply_adds": 1, "peak_memory_bytes": 1,
                "data": {"title": title} | IMAGENET | data,
                "evaluation": {"single": scores, "ten_crop": scores, "multi_scale": scores},
            }  # fmt: skip
            (run / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_the_papers_numbers_stand_beside_ours_on_its_images(tmp_path):
    tables = evaluation_tables(read_study(make(tmp_path / "runs")))
    assert list(tables) == ["evaluation_single", "evaluation_ten_crop", "evaluation_multi_scale"]
    ten = tables["evaluation_ten_crop"].frame.set_index(["family", "depth"])
    assert ten["paper_top1_error"].tolist() == [27.94, 28.54, 27.88, 25.03, 22.85]
    assert ten.loc[("residual-A", 34), "paper_top5_error"] == 7.76
    assert ten["top1_error"].tolist() == [40, 41, 42, 43, 44]
    assert ten["top5_error"].tolist() == [20, 19, 18, 17, 16]
    multi = tables["evaluation_multi_scale"].frame.set_index(["family", "depth"])
    assert multi["paper_top1_error"].dropna().to_dict() == {("residual-B", 50): 20.74}
    assert "paper_top1_error" not in tables["evaluation_single"].frame
    assert "Tables 2 and 3" in tables["evaluation_ten_crop"].note
    text = markdown(tables["evaluation_ten_crop"].frame)
    assert "| residual A | 34 | 1 | 43.00 | 17.00 | 25.03 | 7.76 |" in text


@pytest.mark.parametrize(
    "other", [{"title": "My photos"}, {"train_images": 100}, {"classes": 10}, {"test_images": 9}]
)
def test_they_stand_beside_no_other_images(tmp_path, other):
    tables = evaluation_tables(read_study(make(tmp_path / "runs", **other)))
    assert not any("paper" in column for t in tables.values() for column in t.frame)
    assert not any("paper's numbers" in table.note for table in tables.values())


def test_claims_are_judged_of_its_networks(tmp_path):
    study = read_study(make(tmp_path / "runs"))
    claims = verdict(study.runs, study.probes)["claims"]
    assert "not run" not in json.dumps(claims[0])
    assert set(study.runs["variant"]) == {""}


def test_seeds_are_summed_up(tmp_path):
    study = read_study(make(tmp_path / "runs", seeds=3))
    assert len(evaluations(study)) == 45
    table = evaluation_tables(study)["evaluation_single"].frame
    assert table["n"].tolist() == [3] * 5
    assert table["top1_error"].tolist() == [41, 42, 43, 44, 45]
    assert table["top1_error_std"].tolist() == [1.0] * 5


def test_time_spent_waiting_is_told_where_there_was_any(tmp_path):
    study = read_study(make(tmp_path / "runs"))
    assert costs(costs_of(study))["waiting"].tolist() == [25.0] * 5
    assert "waiting" not in costs(costs_of(read_study(FIXTURES / "runs")))


def test_a_report_has_them(tmp_path):
    study = read_study(make(tmp_path / "runs"))
    assert set(tables_of(study)) >= {"evaluation_ten_crop", "results", "costs"}
    _, written = write_report(study, tmp_path / "report")
    names = {path.name for path in written}
    assert {"evaluation_ten_crop.csv", "evaluation_ten_crop.tex", "index.html"} <= names
    page = (tmp_path / "report/index.html").read_text()
    assert "Errors of trained networks, 10-crop" in page
    # Nothing of CIFAR's stands in a report on ImageNet.
    assert "paper_test_error" not in (tmp_path / "report/results.csv").read_text()


def test_without_evaluations_there_are_no_such_tables():
    assert evaluation_tables(read_study(FIXTURES / "runs")) == {}


@pytest.mark.parametrize(
    "damage", [[1], {"single": 3}, {"single": {"error": "x", "top5_error": 1}}]
)
def test_a_damaged_evaluation_is_named(tmp_path, damage):
    folder = make(tmp_path / "runs")
    file = next(folder.glob("plain*/manifest.json"))
    file.write_text(json.dumps(json.loads(file.read_text()) | {"evaluation": damage}))
    study = read_study(folder)
    assert list(study.damaged) == [file.parent.name]
    assert "its evaluation is odd" in study.damaged[file.parent.name]
    with pytest.raises(StudyError):
        read_study(tmp_path / "nowhere")

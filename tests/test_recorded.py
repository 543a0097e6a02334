"""What is on record is what runs/README.md says: made by its commands, whole, and portable."""

import json
import re
from importlib import metadata

import pytest

from analysis.networks import add_family
from analysis.readme import RECORD, RECORDED, rates, recorded
from analysis.report import tables_of
from analysis.tables import markdown
from analysis.verdict import verdict

NAMES = sorted(path.name for path in RECORDED.iterdir() if path.name != "benchmark")
COMMANDS = dict(RECORD.findall((RECORDED.parent / "README.md").read_text("utf-8")))


def test_each_record_is_listed():
    assert sorted(COMMANDS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_record_is_made_by_its_commands_and_is_whole(name, runs_of, monkeypatch):
    study = recorded(name)
    assert not study.damaged
    assert set(study.states.values()) <= {"finished", "diverged"}
    assert len({manifest.get("kernels") for manifest in study.manifests.values()}) == 1
    # What "precision=auto" stood for on the machine that recorded.
    (precision,) = {config.precision for config in study.configs.values()}
    monkeypatch.setattr("resnet_study.cli._fastest_precision", lambda device: precision)
    commands = COMMANDS[name].split("` and `")
    runs = [run for command in commands for run in runs_of(*command.split())]
    assert sorted(study.configs) == sorted(config.run_id for config in runs)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_shown_of_a_record_is_made_from_it(name):
    study = recorded(name)
    study = study.part(next(iter(study.protocols.values())))
    report = RECORDED / name / "report"
    written = json.loads((report / "verdict.json").read_text("utf-8"))
    found = verdict(add_family(study.runs), study.probes, study.each)
    assert written == json.loads(json.dumps(found))
    for table, titled in tables_of(study).items():
        assert (report / f"{table}.md").read_text("utf-8") == markdown(titled.frame)


def test_the_quick_grid_is_recorded_with_the_version_that_ships():
    manifests = recorded("quick").manifests.values()
    assert len(manifests) == 45
    for manifest in manifests:
        assert manifest["versions"]["resnet_study"] == metadata.version("resnet_study")
        assert (manifest["kernels"], manifest["threads"], manifest["processes"]) == ("fused", 1, 1)
        assert manifest["processor"].startswith(manifest["device_name"])
        assert manifest["compiler"]
        assert "+changes" not in manifest["commit"]


def test_records_name_no_folder_of_the_machine_that_made_them():
    files = [f for s in ("json", "yaml") for f in RECORDED.glob(f"*/*/*.{s}")]
    texts = {f: f.read_text("utf-8") for f in files if f.parent.name != "report"}
    assert len(texts) > 350
    assert not [f for f, text in texts.items() if re.search(r"[\"' ](/|~|[A-Z]:\\)", text)]


def test_the_rate_of_the_short_schedule_is_the_one_with_the_lowest_held_out_error(
    composed,
):
    study = recorded("short_rate")
    assert {m["data"]["evaluated_on"] for m in study.manifests.values()} == {"validation"}
    table = rates(study)
    best = table.loc[table["mean"].astype(float).idxmin(), "learning rate"]
    assert float(best) == composed("schedule=short").schedule.learning_rate


def leanings(name, share=1.0):
    """What the data of a record say of each claim, or those of its first iterations."""
    runs = add_family(recorded(name).runs)
    runs = runs[runs["iteration"] <= share * runs["iteration"].max()]
    return {claim["label"]: claim["leaning"] for claim in verdict(runs)["claims"]}


@pytest.mark.parametrize("other", ["short", "quarter", "quarter_gpu", "quick"])
def test_the_quick_grid_says_nothing_that_more_training_takes_back(other):
    half = 0.5 if other == "quick" else 1.0
    found, quick = leanings(other, half), leanings("quick")
    opposed = {"for", "against"}
    assert [label for label in quick if {quick[label], found.get(label)} == opposed] == []

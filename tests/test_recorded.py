"""What is on record is what runs/README.md says: made by its commands, whole, and portable."""

from __future__ import annotations

import json
import re
from importlib import metadata
from itertools import product
from pathlib import Path

import pytest
import yaml
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode

from analysis.load import read_study
from analysis.protocol import protocols
from analysis.report import tables_of
from analysis.statistics import add_family
from analysis.tables import markdown, rates
from analysis.verdict import verdict
from hydra_plugins.resnet_study_compose import Composer
from resnet_study.__main__ import CONF, to_run_config
from tests.readme import RECORD, RECORDED

RUNS = RECORDED.parent
NAMES = sorted(path.name for path in RECORDED.iterdir() if path.name != "benchmark")
COMMANDS = dict(RECORD.findall((RUNS / "README.md").read_text("utf-8")))


def runs_of(command: str, auto: str) -> list[str]:
    """The ids of the runs that `python -m resnet_study COMMAND` would train.

    Args:
        command: Overrides.
        auto: What "precision=auto" stands for on the machine that recorded.
    """
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        fixed, swept = [], {}
        parse = OverridesParser.create().parse_override
        for word in command.split():
            key, _, value = word.partition("=")
            if parse(word).is_sweep_override():
                swept[key] = value
            else:
                fixed.append(word)
        master = loader.load_configuration("config", fixed, RunMode.MULTIRUN)
        params = {**dict(master.hydra.sweeper.params), **swept}
        params = {k: v for k, v in params.items() if k not in {w.split("=")[0] for w in fixed}}
        choices = []
        for key, value in params.items():
            override = parse(f"{key}={value}")
            values = override.sweep_string_iterator() if override.is_sweep_override() else [value]
            choices.append([f"{key}={choice}" for choice in values])
        composer, found = Composer(loader, master), set()
        for point in product(*choices):
            config = composer.compose([*fixed, *point])
            if config.precision == "auto":
                config.precision = auto
            found.add(to_run_config(config).run_id)
        return sorted(found)


def test_each_record_is_listed():
    assert sorted(COMMANDS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_record_is_made_by_its_command_and_is_whole(name):
    study, command = read_study(RECORDED / name), COMMANDS[name]
    assert not study.damaged
    assert set(study.states.values()) <= {"finished", "diverged"}
    kernels = {manifest.get("kernels") for manifest in study.manifests.values()}
    assert len(kernels) == 1
    precision = {config.precision for config in study.configs.values()}
    assert len(precision) == 1
    assert sorted(study.configs) == runs_of(command, precision.pop())


@pytest.mark.parametrize("name", NAMES)
def test_what_is_shown_of_a_record_is_made_from_it(name):
    study = read_study(RECORDED / name)
    ids = next(iter(protocols(study.configs).values()))
    study = study.part(ids)
    report = RECORDED / name / "report"
    written = json.loads((report / "verdict.json").read_text("utf-8"))
    assert written == json.loads(json.dumps(verdict(add_family(study.runs), study.probes)))
    for table, titled in tables_of(study).items():
        assert (report / f"{table}.md").read_text("utf-8") == markdown(titled.frame)


def test_the_quick_grid_is_recorded_with_the_version_that_ships():
    study = read_study(RECORDED / "quick")
    assert len(study.manifests) == 45
    for manifest in study.manifests.values():
        assert manifest["versions"]["resnet_study"] == metadata.version("resnet_study")
        assert (manifest["kernels"], manifest["threads"], manifest["processes"]) == ("fused", 1, 1)
        assert manifest["processor"].startswith(manifest["device_name"])
        assert manifest["compiler"]
        assert "+changes" not in manifest["commit"]


@pytest.mark.parametrize("name", NAMES)
def test_a_record_names_no_folder_of_the_machine_that_made_it(name):
    for file in (RECORDED / name).glob("*/*"):
        if file.suffix == ".yaml":
            config = yaml.safe_load(file.read_text("utf-8"))
            places = [config["data"]["root"], config["data"]["cache"], config["runs_dir"]]
            assert not [place for place in places if place and Path(place).is_absolute()]
        if file.suffix in (".json", ".yaml") and file.parent.name != "report":
            text = file.read_text("utf-8")
            assert not re.search(r"[\"' ](/|~|[A-Z]:\\)", text), file


def test_the_learning_rate_of_the_short_schedule_is_the_one_with_the_lowest_held_out_error():
    study = read_study(RECORDED / "short_rate")
    assert {m["data"]["evaluated_on"] for m in study.manifests.values()} == {"validation"}
    table = rates(study)
    best = table.loc[table["mean"].astype(float).idxmin(), "learning rate"]
    chosen = yaml.safe_load((CONF / "schedule" / "short.yaml").read_text("utf-8"))
    assert float(best) == chosen["learning_rate"]


def test_the_benchmark_on_record_is_readable():
    about = json.loads((RECORDED / "benchmark" / "benchmark.json").read_text("utf-8"))["machine"]
    assert about["device_name"]

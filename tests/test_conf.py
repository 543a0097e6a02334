"""Every file in conf/ composes, describes a run, and names the command that uses it."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from resnet_study.cli import CONF
from resnet_study.config import DataConfig, RunConfig, ScheduleConfig
from resnet_study.data.sets import SOURCES

FILES = sorted(path for group in ("model", "data", "schedule") for path in (CONF / group).iterdir())
EXPERIMENTS = sorted((CONF / "experiment").iterdir())


def flat(values: dict, prefix: str = "") -> dict[str, object]:
    """Nested settings by their dotted names."""
    found: dict[str, object] = {}
    for key, value in values.items():
        inner = isinstance(value, dict)
        found |= flat(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return found


def written(file: Path) -> dict[str, object]:
    """The settings of a group's file, with those of the file that it starts from."""
    values = yaml.safe_load(file.read_text())
    start, *rest = values.pop("defaults", [None, "_self_"])
    assert rest == ["_self_"]
    own, base = flat(values), written(file.with_stem(start)) if start else {}
    assert [key for key in own if key in base and own[key] == base[key]] == [], "is said twice"
    return base | own


@pytest.mark.parametrize("file", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_each_group_file_composes(file: Path, composed):
    given = written(file)
    needs_root = file.parent.name == "data" and SOURCES[given["name"]].layout and not given["root"]
    root = ["data.root=somewhere"] if needs_root else []
    config = composed(f"{file.parent.name}={file.stem}", *root)
    values = config.to_mapping()[file.parent.name]
    if file.parent.name == "schedule":
        # The name is what ids and reports show.
        assert config.schedule.name == file.stem
    if file.parent.name == "data" and not config.data.streamed:
        # Of streamed folders alone; nobody shall look for them elsewhere.
        assert "stream" in values
        del values["stream"]
    found = flat(values)
    assert set(given) == set(found), "a setting is missing from the file, or unknown"
    if not root:
        assert given == found


RUNS = {
    "quick": 15, "figure6": 15, "identity": 10, "gradients": 6, "no_batch_norm": 2,
    "responses": 6, "span": 12,
    "initialization": 20, "colour": 12, "options": 20, "thousand": 2,
    "quarter": 4, "short": 15, "short_rate": 6, "imagenet": 4, "imagenet_trial": 2,
}  # fmt: skip


STUDIES = {"quick", "figure6", "quarter", "short", "short_rate", "imagenet", "imagenet_trial"}
# Without batch norm each scale would need a search for a rate of its own.
CONTROL = "no_batch_norm"
PAPERS_OWN = {"kind", "shortcut", "depth", "layers_per_block", "init", "norm"}


@pytest.mark.parametrize(
    "experiment", sorted({file.stem.removesuffix("_paper") for file in EXPERIMENTS})
)
def test_each_experiment_has_the_runs_that_it_should(experiment: str, runs_of, cli):
    words = [f"experiment={experiment}"]
    if experiment == "imagenet_trial":
        refused = cli(*words, tiny=False)
        named = "data.root=null: must be a folder with train/<class>/ and val/<class>/"
        assert (refused.returncode, refused.stderr.strip()) == (2, f"error: {named}")
        words.append("data.root=photos")
    runs = runs_of(*words)
    assert len(runs) == RUNS[experiment]
    folder = "gradients" if experiment == CONTROL else experiment
    assert {config.experiment_name for config in runs} == {folder}


@pytest.mark.parametrize("experiment", sorted(set(RUNS) - STUDIES - {CONTROL}))
def test_each_mechanism_has_a_twin_at_the_papers_scale(experiment: str, runs_of):
    quick, paper = runs_of(f"experiment={experiment}"), runs_of(f"experiment={experiment}_paper")
    for config in paper:
        identity = config.canonical()
        assert set(identity) <= {"model", "seed", "start", "data"}
        assert set(identity.get("model", {})) <= PAPERS_OWN
        data = identity.get("data", {})
        assert set(data) <= {"augment"}
        assert set(data.get("augment", {})) <= {"colour"}
        assert config.checkpoint.every == 1000
    twins = [(config.probes.gradients, config.probes.responses) for config in quick]
    assert twins == [(config.probes.gradients, config.probes.responses) for config in paper]


@pytest.mark.parametrize("file", EXPERIMENTS, ids=lambda path: path.stem)
def test_each_experiment_begins_with_its_command(file: Path):
    # Hydra reads its package directive from the first line only.
    directive, command = file.read_text().splitlines()[:2]
    assert directive == "# @package _global_"
    assert command == f"# python -m resnet_study experiment={file.stem}"


def test_no_config_names_code():
    texts = [path.read_text() for path in CONF.rglob("*.yaml")]
    assert "_target_" not in "".join(texts)


def test_the_paper_schedule_is_the_default_description(composed):
    paper = composed("schedule=paper", "data=cifar10")
    assert paper.schedule == ScheduleConfig()
    assert paper.run_id == RunConfig().run_id


def test_the_command_line_wins_over_the_experiment(composed):
    config = composed("experiment=quick", "data=image_folder", "data.root=photos", "schedule=paper")
    assert config.data == DataConfig(
        name="image_folder", root="photos", resolution=16, augment=config.data.augment
    )
    assert config.schedule.iterations == 64_000
    assert config.experiment_name == "quick"


def test_the_quarter_describes_the_runs_that_were_trained_before_it_had_a_file(runs_of):
    seeds = {
        "": {"plain-020-quarter-bf16-s0-0452eb", "plain-056-quarter-bf16-s0-f7743d",
             "residual-A-020-quarter-bf16-s0-97a0eb", "residual-A-056-quarter-bf16-s0-907984"},
        "model.depth=20 seed=1,2": {
            "plain-020-quarter-bf16-s1-c6cdf9", "residual-A-020-quarter-bf16-s1-4ab0dc",
            "plain-020-quarter-bf16-s2-2eebd3", "residual-A-020-quarter-bf16-s2-7a6b1b"},
    }  # fmt: skip
    for words, ids in seeds.items():
        runs = runs_of("experiment=quarter", *words.split())
        assert {config.run_id for config in runs} == ids
        assert {config.checkpoint.every for config in runs} == {500}


def test_the_short_rate_is_chosen_on_held_out_images_of_otherwise_equal_runs(runs_of):
    final, tried = runs_of("experiment=short"), runs_of("experiment=short_rate")
    (short,) = {c.schedule for c in final}
    assert {c.data.validation_images for c in tried} == {5000}
    assert {c.data.validation_images for c in final} == {0}
    assert {replace(c.schedule, learning_rate=short.learning_rate) for c in tried} == {short}
    assert short in {c.schedule for c in tried}

"""Hundreds of wrong command lines: one line, exit status 2, nothing left behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from resnet_study.__main__ import main
from resnet_study.config import RunConfig
from resnet_study.errors import ConfigError
from resnet_study.fields import Rule, nested_type

HUGE = "9" * 30


def rules(cls: type = RunConfig, prefix: str = "") -> Iterator[tuple[str, Rule]]:
    """Each setting of the schema with its rule."""
    for field in fields(cls):
        if inner := nested_type(field):
            yield from rules(inner, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, field.metadata["rule"]


def wrong_values(rule: Rule) -> list[str]:
    """Values, as typed, that a rule does not allow."""
    if rule.many:
        inner = [f"[{value}]" for value in wrong_values(Rule(rule.type, minimum=rule.minimum))]
        return ["7", "word", "{a: 1}", *inner]
    values = ["[]", "[1,2]", "{}", "{a: 1}"]
    if not rule.optional:
        values.append("null")
    if rule.type is bool:
        return [*values, "1", "0.5", "maybe", "'true'"]
    if rule.type is str:
        values += ["''", "'  '", "3", "true", "1.5"]
        values += ["x" * 300] if rule.maximum else []
        return [*values, "nonsense", "A1"] if rule.choices else values
    values += ["word", "true", "'1'", "''", "nan", "inf", "1e400"]
    if rule.type is int:
        values += ["1.5", "1e-3"]
    if rule.minimum is not None:
        values += ["-1", f"-{HUGE}"] if rule.minimum >= 0 else []
        values.append(str(int(rule.minimum)) if rule.exclusive else str(int(rule.minimum) - 1))
    if rule.maximum is not None:
        values.append(HUGE if rule.type is int else f"{rule.maximum + 1}")
    return values


WRONG = [(name, value) for name, rule in rules() for value in dict.fromkeys(wrong_values(rule))]


def typed() -> list[tuple[str]]:
    """Some for the command line: of each setting one, and of each kind of rule all values."""
    kinds = {
        name: (r.type, r.many, r.optional, bool(r.choices), r.minimum is None, r.maximum is None)
        for name, r in rules()
    }
    chosen = {(kinds[name], value): (name, value) for name, value in WRONG}
    settings = {name for name, _ in chosen.values()}
    others = {name: (name, value) for name, value in WRONG if name not in settings}
    return [(f"{name}={value}",) for name, value in (*chosen.values(), *others.values())]


GENERATED = typed()

BY_HAND = [
    ("model.depth=21",),
    ("model.depth=9",),
    ("model.depth=57", "model=plain"),
    ("model.layers_per_block=4",),
    ("model.layers_per_block=3", "model.depth=32"),
    ("model.shortcut=null",),
    ("model=plain", "model.shortcut=Z"),
    ("schedule.milestones=[100,50]",),
    ("schedule.milestones=[50,50]",),
    ("schedule.milestones=[1000]",),
    ("schedule.iterations=10",),
    ("schedule=paper", "schedule.iterations=100"),
    ("schedule.warmup.iterations=1000",),
    ("data.root=''", "data=image_folder"),
    ("data=image_folder",),
    ("data=image_folder", "data.root=does/not/exist"),
    ("data=image_folder", "data.root=tests"),
    ("data=image_folder", "data.root=README.md"),
    ("data.resolution=33",),
    ("data.train_images=10001",),
    ("data.train_images=10000", "data.validation_images=1"),
    ("data.validation_images=10000",),
    ("data.validation_images=20000",),
    ("data.classes=11",),
    ("schedule.batch_size=10001",),
    ("data.train_images=20", "schedule.batch_size=21"),
    ("experiment_name=../elsewhere",),
    ("experiment_name=/absolute",),
    ("experiment_name='a b'",),
    ("schedule.name='a/b'",),
    ("runs_dir=/proc/nothing",),
    ("data=image_folder", "data.root=."),
    ("data=image_folder", f"data.root={'x' * 300}"),
    (f"runs_dir={'x' * 300}",),
    ("schedule.gamma=1e-200",),
    ("runs_dir=README.md",),
    ("runs_dir=README.md/below",),
    ("data.cache=README.md",),
    ("+unknown=1",),
    ("+model.unknown=1",),
    ("+model._target_=os.system",),
    ("+_target_=os.system", "+command=true"),
    ("+data.augment.__class__=1",),
    ("model=null",),
    ("model=1",),
    ("model=nothing",),
    ("model=[]",),
    ("hydra=null",),
    ("hydra.run.dir=/proc/nothing",),
    ("-m", "hydra.sweep.dir=/proc/nothing"),
    ("-m", "hydra.launcher.n_jobs=zero"),
    ("-m", "seed=glob(*)"),
    ("-m", "seed=interval(0,1)"),
    ("hydra/launcher=nothing",),
    ("~seed", "+seed=many"),
    ("experiment_name=${oc.env:THIS_IS_NOT_SET}",),
    ("experiment_name=${nothing.there}",),
    ("seed=???",),
    ("experiment=quick", "model.depth=20,21"),
    ("experiment=quick", "seed=0,-1"),
    ("experiment=quick", "data=image_folder"),
    ("experiment=quick", "runs_dir=/proc/nothing"),
    ("-m", "seed=0,one"),
    ("-m", "model.shortcut=A,B,D"),
]


# What Hydra says when it rejects a command line, with status 1.
HYDRA = (
    "Available options",
    "Config group override",
    "Could not append",
    "Could not override",
    "Error merging",
    "Error parsing",
    "No such file",
    "cannot be written",
    "does not support",
    "out of range",
)


def test_there_are_enough():
    assert len(WRONG) > 900
    assert len(GENERATED) + len(BY_HAND) >= 200
    assert {word.split("=")[0] for (word,) in GENERATED} == {name for name, _ in rules()}
    assert len({*GENERATED, *BY_HAND}) == len(GENERATED) + len(BY_HAND)


@pytest.fixture
def call(tmp_path, monkeypatch, capsys, cache):
    """Runs the command line in this process; returns exit status and stderr."""

    def call(arguments):
        flags = [word for word in arguments if word.startswith("-")]
        rest = [word for word in arguments if word not in flags]
        defaults = [
            default
            for default in (f"runs_dir={tmp_path / 'runs'}", f"data.cache={cache}")
            if not any(word.split("=")[0] == default.split("=")[0] for word in rest)
        ]
        monkeypatch.setattr(sys, "argv", ["resnet_study", *flags, *rest, *defaults])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr().err

    return call


def listing(folder: Path) -> set[Path]:
    return {p for p in folder.glob("*") if p.name not in (".git", ".pytest_cache", "__pycache__")}


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_each_setting_refuses_what_its_rule_does(name, value):
    found = OverridesParser.create().parse_override(f"{name}={value}").value()
    for key in reversed(name.split(".")):
        found = {key: found}
    with pytest.raises(ConfigError) as caught:
        RunConfig.from_mapping(found)
    assert str(caught.value).startswith(f"{name}=")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("arguments", [*GENERATED, *BY_HAND], ids=" ".join)
def test_a_wrong_command_line_is_one_line(arguments, call, tmp_path):
    before = listing(Path.cwd())
    status, errors = call(arguments)
    lines = [line for line in errors.strip().splitlines() if " runs in " not in line]
    assert "Traceback" not in errors
    if status == 1:
        # Hydra's own rejection, with Hydra's message.
        assert any(words in errors for words in HYDRA), errors
    else:
        assert status == 2, errors
        assert len(lines) == 1, errors
        assert lines[0].startswith("error: ")
        changed = arguments[-1].lstrip("+~").split("=")[0]
        assert "=" in lines[0], changed
    assert not (tmp_path / "runs").exists()
    assert listing(Path.cwd()) == before


def test_nothing_in_a_config_is_evaluated(call, tmp_path):
    marker = tmp_path / "evaluated"
    for attack in (
        f'experiment_name=\'__import__("os").mkdir("{marker}")\'',
        f"+model._target_=pathlib.Path.mkdir +model.self={marker}",
        f"data.label='$(touch {marker})' seed=-1",
        f"+data.__reduce__='[os.system, touch {marker}]'",
    ):
        status, _ = call(tuple(attack.split(" +")) if " +" in attack else (attack,))
        assert status in (1, 2)
        assert not marker.exists()

"""Wrong values and command lines: one line, exit status 2, nothing left behind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import fields
from itertools import count
from pathlib import Path

import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser

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


def generated() -> Iterator[tuple[str]]:
    """Command lines: up to three settings of each kind of rule, each with another wrong value."""
    kinds = defaultdict(list)
    for name, r in rules():
        kind = (r.type, r.many, r.optional, bool(r.choices), r.minimum is None, r.maximum is None)
        kinds[kind].append((name, wrong_values(r)))
    number = count()
    for settings in kinds.values():
        for name, values in settings[:: -(-len(settings) // 3)]:
            yield (f"{name}={values[next(number) % len(values)]}",)


BY_HAND = [
    ("model.depth=9",),
    ("model.depth=57", "model=plain"),
    ("model.layers_per_block=4",),
    ("model.layers_per_block=3", "model.depth=32"),
    ("model.shortcut=null",),
    ("model=plain", "model.shortcut=Z"),
    ("schedule.milestones=[50,50]",),
    ("schedule.milestones=[1000]",),
    ("schedule.iterations=10",),
    ("schedule=paper", "schedule.iterations=100"),
    ("schedule.warmup.iterations=1000",),
    ("data.root=''", "data=image_folder"),
    ("data=image_folder",),
    ("data=image_folder", "data.root=tests"),
    ("data=image_folder", "data.root=README.md"),
    ("data.resolution=33",),
    ("data.train_images=10001",),
    ("data.train_images=10000", "data.validation_images=1"),
    ("data.validation_images=10000",),
    ("data.validation_images=20000",),
    ("data.classes=11",),
    ("data.train_images=20", "schedule.batch_size=21"),
    ("experiment_name=../elsewhere",),
    ("experiment_name=/absolute",),
    ("experiment_name='a b'",),
    ("schedule.name='a/b'",),
    ("data=image_folder", "data.root=."),
    ("data=image_folder", f"data.root={'x' * 300}"),
    (f"runs_dir={'x' * 300}",),
    ("schedule.gamma=1e-200",),
    ("runs_dir=README.md",),
    ("runs_dir=README.md/below",),
    ("data.cache=README.md",),
    ("model.dept=20",),
    ("experiment=nothing",),
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
    ("experiment_name=${nothing.there}",),
    ("seed=???",),
    ("experiment=quick", "model.depth=20,21"),
    ("experiment=quick", "seed=0,-1"),
    ("experiment=quick", "data=image_folder"),
    ("experiment=quick", "runs_dir=/proc/nothing"),
    ("-m", "seed=0,one"),
    ("-m", "model.shortcut=A,B,D"),
]

# What is said of the last word.
SAYS = {
    ("model.depth=21",): "allowed is 6n+2",
    ("model.depth=deep",): "allowed is an integer",
    ("model.kind=dense",): "allowed are plain, residual",
    ("model.shortcut=D",): "allowed are A, B, C",
    ("schedule.milestones=[100, 50]",): "allowed are",
    ("data=image_folder", "data.root=nowhere"): "is not there; allowed is a folder",
    ("device=cuda",): "no CUDA device is available",
    ("schedule.batch_size=10001",): "allowed is at most",
    ("runs_dir=/proc/runs",): "cannot be written",
    ("experiment_name=${oc.env:NOT_SET_ANYWHERE}",): "",
}

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


def listing(folder: Path) -> set[Path]:
    return {p for p in folder.glob("*") if p.name not in (".git", ".pytest_cache", "__pycache__")}


@pytest.fixture
def refused(cli, tmp_path, cache):
    """What is said of a command line, without what Hydra and the sweep's summary say."""

    def call(*arguments: str) -> tuple[int, str]:
        before = listing(Path.cwd())
        places = (f"runs_dir={tmp_path / 'runs'}", f"data.cache={cache}")
        given = {word.partition("=")[0] for word in arguments}
        ended = cli(
            *arguments, *(p for p in places if p.partition("=")[0] not in given), tiny=False
        )
        assert "Traceback" not in ended.stderr
        assert not (tmp_path / "runs").exists()
        assert listing(Path.cwd()) == before
        if ended.returncode == 1:
            # Hydra's own rejection, with Hydra's message.
            assert any(words in ended.stderr for words in HYDRA), ended.stderr
            return ended.stderr
        assert ended.returncode == 2, ended.stderr
        (line,) = [w for w in ended.stderr.strip().splitlines() if " runs in " not in w]
        assert line.startswith("error: ")
        assert "=" in line
        return line

    return call


def test_each_setting_refuses_what_its_rule_does():
    parser = OverridesParser.create()
    accepted, unclear = [], []
    for name, value in WRONG:
        found = parser.parse_override(f"{name}={value}").value()
        for key in reversed(name.split(".")):
            found = {key: found}
        try:
            RunConfig.from_mapping(found)
        except ConfigError as error:
            if not str(error).startswith(f"{name}=") or "\n" in str(error):
                unclear.append(str(error))
        else:
            accepted.append(f"{name}={value}")
    assert not accepted
    assert not unclear
    assert len(WRONG) > 900


@pytest.mark.parametrize("arguments", [*generated(), *BY_HAND], ids=" ".join)
def test_a_wrong_command_line_is_one_line(arguments, refused):
    refused(*arguments)


@pytest.mark.parametrize("sweep", [(), ("-m", "seed=0,1")], ids=["run", "sweep"])
@pytest.mark.parametrize("arguments", SAYS, ids=" ".join)
def test_the_line_names_the_value_and_what_is_allowed(arguments, sweep, refused):
    if arguments == ("device=cuda",) and torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    said = SAYS[arguments]
    expected = f"{arguments[-1]}: {said}" if said else "experiment_name="
    assert refused(*sweep, *arguments).startswith(f"error: {expected}")


def test_nothing_in_a_config_is_evaluated(refused, tmp_path):
    marker = tmp_path / "evaluated"
    for attack in (
        (f'experiment_name=\'__import__("os").mkdir("{marker}")\'',),
        ("+model._target_=pathlib.Path.mkdir", f"+model.self={marker}"),
        (f"data.label='$(touch {marker})'", "seed=-1"),
        (f"+data.__reduce__='[os.system, touch {marker}]'",),
    ):
        refused(*attack)
        assert not marker.exists()

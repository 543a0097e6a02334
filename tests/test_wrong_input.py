"""Wrong values and command lines: one line, exit status 2, nothing left behind."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser

from resnet_study.config import RunConfig
from resnet_study.config.fields import Rule, nested_type
from resnet_study.system.errors import ConfigError
from tests.conftest import FIXTURES

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
    values = ["[1,2]", "{}", "{a: 1}", *["null"] * (not rule.optional)]
    values += ["[]"] * (not rule.alone)
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
# Some forty for the command line, from everywhere in the schema.
GENERATED = [((f"{name}={value}",), "") for name, value in WRONG[:: len(WRONG) // 40]]


def by_hand() -> Iterator[tuple[tuple[str, ...], str]]:
    """Command lines, and how what is said of them begins."""
    for line in (FIXTURES / "wrong_commands.txt").read_text().splitlines():
        command, _, said = line.partition("  # ")
        yield tuple(shlex.split(command)), said
    yield ("data=image_folder", f"data.root={'x' * 300}"), ""
    yield (f"runs_dir={'x' * 300}",), ""


# What Hydra says when it rejects a command line, with status 1.
HYDRA = (
    "Available options|Config group override|Could not append|Could not override|Error merging|"
    "Error parsing|No such file|cannot be written|does not support|out of range"
)


def listing(folder: Path) -> set[Path]:
    return {p for p in folder.glob("*") if p.name not in (".git", ".pytest_cache", "__pycache__")}


@pytest.fixture
def refused(cli, tmp_path):
    """What is said of a wrong command line, without the summary of a sweep."""

    def call(*arguments: str) -> str:
        before = listing(Path.cwd())
        ended = cli(*arguments, settings=())
        assert "Traceback" not in ended.stderr
        assert not (tmp_path / "runs").exists()
        assert listing(Path.cwd()) == before
        if ended.returncode == 1:
            # Hydra's own rejection, with Hydra's message.
            assert re.search(HYDRA, ended.stderr), ended.stderr
            return ended.stderr
        assert ended.returncode == 2, ended.stderr
        (line,) = [w for w in ended.stderr.strip().splitlines() if " runs in " not in w]
        assert re.match("error: .*=", line)
        return line

    return call


def test_each_setting_refuses_what_its_rule_does():
    parser = OverridesParser.create()
    assert len(WRONG) > 900
    for name, value in WRONG:
        found = parser.parse_override(f"{name}={value}").value()
        for key in reversed(name.split(".")):
            found = {key: found}
        try:
            said = f"accepted: {RunConfig.from_mapping(found)}"
        except ConfigError as error:
            said = str(error)
        assert re.fullmatch(f"{name}=.*", said), f"{name}={value}: {said}"


@pytest.mark.parametrize(
    ("words", "said"),
    [*GENERATED, *by_hand()],
    ids=lambda value: " ".join(value)[:60] * (type(value) is tuple),
)
def test_a_wrong_command_line_is_one_line(words, said, refused):
    if "device=cuda" in words and torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    errors = refused(*words)
    if said:
        assert errors.startswith(f"error: {said}")
        assert refused("-m", "seed=0,1", *words) == errors


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

"""Command line: `python -m resnet_study.plan`. What a command would take; starts nothing."""

from __future__ import annotations

import re
import sys
from typing import Any, NoReturn

from resnet_study import __main__ as command_line
from resnet_study.errors import ConfigError, reader_has_left

HELP = """\
What a command would take, in runs, time and disk, before anything is started.

  python -m resnet_study.plan [OVERRIDES] [launcher=NAME] [benchmark=FILE] [--json]

OVERRIDES       what python -m resnet_study takes: experiment=quick, model.depth=20,56, seed=0
launcher=NAME   local (default), slurm or slurm_local; short for hydra/launcher=NAME
benchmark=FILE  estimate from this benchmark.json, such as one made on the cluster's machines
--json          print the plan as JSON

Times rest on finished runs of the same network in the same experiment, else on what
make bench measured on this machine, else on the benchmark that comes with the study.
  python -m resnet_study.plan experiment=figure6 launcher=slurm benchmark=node/benchmark.json
"""


def rewrite(arguments: list[str]) -> list[str]:
    """The command line of `python -m resnet_study` whose sweep is planned, not carried out.

    Args:
        arguments: As typed, without the program's name.

    Raises:
        ConfigError: Another sweeper is asked for, which might start something.
    """
    rewritten = []
    for word in arguments:
        key, equals, value = word.partition("=")
        name = key.lstrip("+~")
        if re.match(r"hydra[/.]sweeper\b", name) and not name.startswith("hydra.sweeper.params."):
            raise ConfigError(name, value, "a plan has a sweeper of its own; leave that out")
        if word in ("-m", "--multirun") or key == "hydra.mode":
            continue
        if word == "--json":
            rewritten.append("hydra.sweeper.as_json=true")
        elif equals and key == "launcher":
            rewritten.append(f"hydra/launcher={value}")
        elif equals and key == "benchmark":
            rewritten.append(f"hydra.sweeper.benchmark={_quoted(value)}")
        else:
            rewritten.append(word)
    return ["--multirun", *rewritten, "hydra/sweeper=study_plan"]


def _quoted(value: str) -> str:
    """A text that Hydra's grammar leaves as it is: backslashes count before quotes only."""
    return "'" + re.sub(r"(\\*)('|$)", lambda m: 2 * m[1] + ("\\'" if m[2] else ""), value) + "'"


def main() -> None:
    """Entry point; reads the command line."""
    arguments = sys.argv[1:]
    if {"-h", "--help"} & set(arguments):
        print(HELP, end="")
        return
    try:
        sys.argv[1:] = rewrite(arguments)
    except ConfigError as error:
        command_line.fail(error)
    try:
        command_line.main(_start_nothing)
        sys.stdout.flush()
    except BrokenPipeError:
        reader_has_left()


def _start_nothing(_: Any) -> NoReturn:
    """Stands in the place of the function that trains, whatever a command may bring about."""
    raise AssertionError("a plan has tried to start a run")


if __name__ == "__main__":
    main()

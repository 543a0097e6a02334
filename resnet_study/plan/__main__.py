"""What a command would take, in runs, time and disk, before anything is started.

  python -m resnet_study.plan [OVERRIDES] [launcher=NAME] [benchmark=FILE] [--json]

OVERRIDES       what python -m resnet_study takes: experiment=quick, model.depth=20,56, seed=0
launcher=NAME   local (default) or slurm; short for hydra/launcher=NAME
benchmark=FILE  estimate from this benchmark.json, such as one made on the cluster's machines
--json          print the plan as JSON

Times rest on finished runs of the same network in the same experiment, else on what
make bench measured on this machine, else on the benchmark that comes with the study. A
benchmark's times leave out probes and the reading of streamed images, and no time includes
waiting in a cluster's queue.
  python -m resnet_study.plan experiment=figure6 launcher=slurm benchmark=node/benchmark.json
"""

import re
import sys
from typing import Any, NoReturn

from resnet_study import cli as command_line
from resnet_study.system.command import command


def rewrite(arguments: list[str]) -> list[str]:
    """Turns a command line of this module into one of Hydra that plans the sweep.

    Args:
        arguments: As typed, without the program's name.
    """
    words = [word for word in arguments if word not in ("-m", "--multirun", "--json")]
    words = [re.sub("^benchmark=(.*)", _quoted, word) for word in words]
    as_json = f"hydra.sweeper.as_json={'--json' in arguments}"
    return [*words, as_json, "hydra/sweeper=study_plan", "hydra.mode=MULTIRUN"]


def _quoted(benchmark: re.Match[str]) -> str:
    return "hydra.sweeper.benchmark='{}'".format(benchmark[1].replace("'", r"\'"))


@command
def main() -> None:
    """Entry point; reads the command line."""
    if {"-h", "--help"} & set(sys.argv):
        print(__doc__, end="")
        return
    sys.argv[1:] = rewrite(sys.argv[1:])
    command_line.main(_start_nothing)


def _start_nothing(_: Any) -> NoReturn:
    """Replaces the function that trains, so that no command can start a run."""
    raise AssertionError("a plan has tried to start a run")


if __name__ == "__main__":
    main()

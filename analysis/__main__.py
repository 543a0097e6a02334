"""Command line: `python -m analysis runs/quick`."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from pathlib import Path

from analysis.load import (
    DamagedRunWarning,
    load_configs,
    load_manifests,
    load_runs,
    protocols,
)
from analysis.report import write_report
from analysis.verdict import summary
from resnet_study.errors import StudyError


def main(arguments: list[str] | None = None) -> int:
    """Draws an experiment's report and prints its verdict; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis",
        description="Draws figures, table and verdict of an experiment. Trains nothing.",
    )
    parser.add_argument("runs", type=Path, help="the experiment's folder, such as runs/quick")
    parser.add_argument(
        "--output", type=Path, help="folder for what is drawn (default: RUNS/report)"
    )
    options = parser.parse_args(arguments)
    try:
        _report(options.runs, options.output or options.runs / "report")
        sys.stdout.flush()
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; keep Python from flushing into it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _report(folder: Path, output: Path) -> None:
    with warnings.catch_warnings(record=True) as damaged:
        warnings.simplefilter("always", DamagedRunWarning)
        configs = load_configs(folder)
        runs = load_runs(folder)
        manifests = load_manifests(folder)
    for text in sorted({str(w.message) for w in damaged}):
        print(f"left out: {text}", file=sys.stderr)
    states = runs.drop_duplicates("run_id").set_index("run_id")["state"]
    for run_id, state in states[states != "finished"].items():
        print(f"{state}: {folder / str(run_id)}", file=sys.stderr)
    if runs.empty:
        raise StudyError("runs", folder, "holds no run that can be read")

    groups = [ids for ids in protocols(configs) if runs["run_id"].isin(ids).any()]
    for number, ids in enumerate(groups, start=1):
        part = runs[runs["run_id"].isin(ids)]
        place = output if number == 1 else output / f"protocol-{number}"
        costs = manifests[manifests["run_id"].isin(ids)]
        found, written = write_report(part, costs, place)
        config = configs[ids[0]]
        print(f"\n{config.data.title}, schedule {config.schedule.name}: {len(ids)} runs")
        for line in summary(found):
            print(f"  {line}")
        for path in written:
            print(f"  {path}")


if __name__ == "__main__":
    sys.exit(main())

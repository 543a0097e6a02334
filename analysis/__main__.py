"""Command line: `python -m analysis runs/quick`."""

import argparse
import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from analysis.load import names_of, read_studies
from analysis.report import write_comparison, write_report
from analysis.statistics import FINAL_SHARE, set_final_share
from analysis.study import Study
from analysis.verdict import summary
from resnet_study.system.command import command
from resnet_study.system.errors import StudyError, say
from resnet_study.system.files import expanded


@command
def main(arguments: list[str] | None = None) -> int:
    """Writes reports of experiments and prints the verdicts; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis",
        description="Writes figures, tables, verdicts and a page about an experiment, or compares "
        "several experiments. Trains nothing.",
    )
    parser.add_argument(
        "runs", type=expanded, nargs="+", help="an experiment's folder, such as runs/quick"
    )
    parser.add_argument(
        "--output",
        type=expanded,
        help="folder for the report (default: RUNS/report; required to compare experiments)",
    )
    parser.add_argument(
        "--each",
        action="store_true",
        help="write a separate report for each folder, in RUNS/report, several at once",
    )
    parser.add_argument(
        "--final",
        type=float,
        default=FINAL_SHARE,
        metavar="SHARE",
        help="a final error is the mean over the evaluations in this last share of the iterations "
        f"(default {FINAL_SHARE})",
    )
    options = parser.parse_args(arguments)
    if not 0 < options.final <= 1:
        raise StudyError("final", options.final, "must be a share above 0, at most 1")
    if options.each:
        if options.output:
            raise StudyError("each", True, "must be given without --output")
        names_of(options.runs)
        return _each(options.runs, options.final)
    if options.output is None and len(options.runs) > 1:
        raise StudyError("output", None, "must be set to compare experiments; use --output DIR")
    studies = read_studies(options.runs)
    studies = [replace(s, runs=set_final_share(s.runs, options.final)) for s in studies]
    _report(studies, options.output or options.runs[0] / "report")
    return 0


def _each(folders: Sequence[Path], final: float) -> int:
    """Writes the reports of several folders on all cores; returns the highest exit status."""
    command = [sys.executable, "-m", "analysis", "--final", str(final)]
    statuses = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        run = partial(subprocess.run, capture_output=True, text=True)
        for done in pool.map(run, [[*command, str(folder)] for folder in folders]):
            print(done.stdout, end="", flush=True)
            print(done.stderr, end="", file=sys.stderr, flush=True)
            statuses.append(done.returncode)
    return max(statuses)


def _report(studies: Sequence[Study], output: Path) -> None:
    """Writes the reports of one study's protocols, or a comparison of several studies."""
    for study in studies:
        for run_id, problem in study.damaged.items():
            say(f"left out: {study.place(run_id)}: {problem}")
        for run_id, state in study.states.items():
            if state != "finished":
                say(f"{state}: {study.place(run_id)}")
        if study.runs.empty:
            raise StudyError("runs", study.folder, "holds no run that can be read")
    if len(studies) > 1:
        firsts = []
        for study in studies:
            ids, *others = study.protocols.values()
            firsts.append(study.part(ids))
            if left := sum(map(len, others)):
                say(f"left out: {left} runs with other settings in {study.folder}")
        _say_where(write_comparison(firsts, output))
        return
    study = studies[0]
    groups = study.protocols
    places = [output, *(output / f"protocol-{n}" for n in range(2, len(groups) + 1))]
    if len(groups) > 1:
        print(f"{study.folder} holds {len(groups)} protocols; each has a report, the newest first")
    for (settings, ids), place in zip(groups.items(), places, strict=True):
        # Each page links to all the others.
        links = {
            other or "the paper's settings": os.path.relpath(path / "index.html", place)
            for other, path in zip(groups, places, strict=True)
            if path != place
        }
        part = replace(study.part(ids), name=f"{study.name} {settings}".strip())
        found, written = write_report(part, place, links)
        first = part.runs.iloc[0]
        title = filter(None, [first["data"], f"schedule {first['schedule']}", settings])
        print(f"\n{', '.join(title)}: {len(ids)} run{'s' * (len(ids) > 1)}")
        print("\n".join(f"  {line}" for line in summary(found)))
        _say_where(written)


def _say_where(written: Sequence[Path]) -> None:
    """Prints the page and the other files that were written, for each folder."""
    for folder, paths in itertools.groupby(written, key=lambda path: path.parent):
        page, *others = paths
        stems = dict.fromkeys(path.stem for path in others)
        print(f"  page: {folder / page.name}")
        print(f"  in the same folder: {', '.join(stems)}")


if __name__ == "__main__":
    sys.exit(main())

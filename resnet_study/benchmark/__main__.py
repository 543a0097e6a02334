"""Command line: `python -m resnet_study.benchmark`."""

from __future__ import annotations

import argparse
import functools
import json
import signal
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

import joblib
import torch
from rich.console import Console
from rich.table import Table

from resnet_study.benchmark.crew import Crew
from resnet_study.benchmark.session import CONVENTIONAL, Session, recipes_for
from resnet_study.benchmark.subjects import DEFAULT, Subject
from resnet_study.models.kernels import kernels_for
from resnet_study.sweep import RUNS_PER_GPU
from resnet_study.system import machine
from resnet_study.system.errors import ConfigError, StudyError
from resnet_study.system.files import check_writable, write_text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m resnet_study.benchmark",
        description="Trains residual networks on the embedded shapes for some seconds at a time, "
        "in turns with the conventional recipe and with the matrix product that is the "
        "machine's ceiling, and prints and writes how fast each was. Nothing else should run "
        "meanwhile.",
    )
    names = [subject.name for subject in DEFAULT]
    parser.add_argument("--networks", nargs="+", default=names, metavar="NAME",
                        help=f"ResNet-DEPTH, or quick-DEPTH as in experiment=quick "
                        f"(default: {' '.join(names)})")  # fmt: skip
    parser.add_argument("--precisions", nargs="+", choices=["fp32", "bf16"],
                        help="(default: fp32, and bf16 where it is fast)")  # fmt: skip
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--workers", type=int, help="processes of a sweep (default: one per core, "
                        "at most 8 on a GPU)")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=3, help="turns (default: 3)")
    parser.add_argument("--seconds", type=float, default=4.0,
                        help="of each measurement (default: 4)")  # fmt: skip
    parser.add_argument("--output", type=Path, default=Path("runs/benchmark"), metavar="DIR",
                        help="of results (default: runs/benchmark)")  # fmt: skip
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    options = _parser().parse_args(arguments)
    # Whoever ends it shall find nothing left behind, as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _benchmark(options)
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (BrokenExecutor, torch.OutOfMemoryError) as error:
        words = str(error).splitlines()[0]
        print(f"error: a measuring process ended: {words}; try fewer --workers", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; rounds that were finished are in the file", file=sys.stderr)
        return 130
    return 0


def _benchmark(options: argparse.Namespace) -> None:
    subjects = [Subject.named(name) for name in options.networks]
    for name in ("rounds", "seconds", "workers"):
        value = getattr(options, name)
        if value is not None and not value > 0:
            raise ConfigError(name, value, "allowed is more than 0")
    device = machine.choose_device(options.device)
    check_writable(options.output, "output")
    options.output.mkdir(parents=True, exist_ok=True)
    cores = int(joblib.cpu_count())
    on_gpu = device.type == "cuda"
    fastest = machine.fastest_precision(device)
    precisions = options.precisions or sorted({"fp32", fastest}, reverse=True)
    workers = options.workers or (min(cores, RUNS_PER_GPU) if on_gpu else cores)
    recipes = recipes_for(cores, workers, precisions, on_gpu)
    description = machine.describe(device, cores) | {
        "cores": cores,
        "kernels": kernels_for(device, "auto"),
    }
    path = options.output / "benchmark.json"
    # An earlier session's file is not this one's.
    path.unlink(missing_ok=True)
    with (
        tempfile.TemporaryDirectory(
            dir=options.output, prefix=".scratch-", ignore_cleanup_errors=True
        ) as scratch,
        Crew(workers) as crew,
        Console(stderr=True).status("") as status,
    ):
        loaders = sorted({0, 1, cores // 2, cores})
        session = Session(device.type, cores, options.seconds, loaders, Path(scratch))
        _announce(session, len(subjects), len(recipes), options)
        result: dict[str, Any] = {"machine": description, "seconds": options.seconds}
        status.update("warming up")
        session.warm_up(crew)
        for number in range(1, options.rounds + 1):
            stage = f"round {number} of {options.rounds}"
            session.round(crew, subjects, recipes, functools.partial(_tell, status, stage))
            result |= {
                "rounds": number,
                "ceiling_operations_per_second": dict(session.ceilings),
                "measurements": session.measurements(),
            }
            write_text(path, json.dumps(result, indent=2) + "\n")
        for subject, recipe in session.rates:
            if recipe.kind != CONVENTIONAL:
                _tell(status, "evaluation", f"{subject.name}, {recipe.name}")
                session.evaluate(crew, subject, recipe)
        result["measurements"] = session.measurements()
    write_text(path, json.dumps(result, indent=2) + "\n")
    _print_table(result)
    print(path, flush=True)
    # Drawing is the analysis's, which the study never imports; it says itself what is wrong.
    subprocess.run([sys.executable, "-m", "analysis.benchmark", str(options.output)], check=False)


def _announce(session: Session, subjects: int, recipes: int, options: argparse.Namespace) -> None:
    each = options.seconds + session.delay + 0.5
    trials = options.rounds * (recipes - 1) + 2 * options.rounds + len(session.loaders) - 2
    minutes = subjects * trials * each / 60
    print(f"about {minutes:.0f} minutes; nothing else should run meanwhile", file=sys.stderr)


def _tell(status: Any, stage: str, what: str) -> None:
    status.update(f"{stage}: {what}")


def _print_table(result: dict[str, Any]) -> None:
    about = result["machine"]
    ceilings = result["ceiling_operations_per_second"].items()
    shown = ", ".join(f"{p} {statistics.median(rates) / 1e9:,.0f}" for p, rates in ceilings)
    print(
        f"{about['device_name']}, {about['cores']} cores, torch {about['versions']['torch']}, "
        f"kernels: {about['kernels']}\nceiling, GFLOP/s: {shown}"
    )
    table = Table("network", "recipe", "processes × threads")
    for title in ("images/s", "lowest … highest", "× conventional", "of ceiling"):
        table.add_column(title, justify="right", no_wrap=True)
    table.columns[0].no_wrap = table.columns[1].no_wrap = True
    former = None
    for record in result["measurements"]:
        if former not in (None, record["network"]):
            table.add_section()
        kind = record["recipe"]
        table.add_row(
            record["network"] if record["network"] != former else "",
            kind if kind == CONVENTIONAL else f"{kind}, {record['precision']}",
            f"{record['workers']} × {record['threads']}",
            f"{record['images_per_second']:,.0f}",
            f"{min(record['rounds']):,.0f} … {max(record['rounds']):,.0f}",
            f"{record['times_conventional']:.2f}",
            f"{100 * record['share_of_ceiling']:.0f} %",
        )
        former = record["network"]
    Console(width=None if sys.stdout.isatty() else 116).print(table)


if __name__ == "__main__":
    sys.exit(main())

"""Measures how fast this machine trains residual networks on the embedded shapes.

Each measurement takes a few seconds, in turns with the conventional recipe and with a matrix
product, which is the machine's ceiling. Nothing else should run meanwhile.
"""

import argparse
import json
import signal
import statistics
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import Any

import joblib
import torch
from rich.console import Console
from rich.table import Table

from resnet_study.benchmark.measure import matrix_product
from resnet_study.benchmark.networks import DEFAULT
from resnet_study.benchmark.pool import WorkerPool
from resnet_study.benchmark.trials import DELAY, summary, trials_of
from resnet_study.models.kernels import kernels_for
from resnet_study.sweep import RUNS_PER_GPU
from resnet_study.system import machine
from resnet_study.system.command import command
from resnet_study.system.errors import ConfigError, say
from resnet_study.system.files import check_writable, expanded, write_text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m resnet_study.benchmark", description=__doc__)
    parser.add_argument("--networks", nargs="+", default=DEFAULT, metavar="NAME",
                        help=f"ResNet-DEPTH, or quick-DEPTH as in experiment=quick "
                        f"(default: {' '.join(DEFAULT)})")  # fmt: skip
    parser.add_argument("--precisions", nargs="+", choices=["fp32", "bf16"],
                        help="(default: fp32, and bf16 where it is fast)")  # fmt: skip
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--workers", type=int, help="processes of a sweep (default: one per core, "
                        "at most 8 on a GPU)")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=3, help="rounds of measurements (default: 3)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each trial (default: 4)")
    parser.add_argument("--output", type=expanded, default=Path("runs/benchmark"), metavar="DIR",
                        help="folder of the results (default: runs/benchmark)")  # fmt: skip
    return parser


@command
def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    options = _parser().parse_args(arguments)
    # SIGTERM ends it as Ctrl-C does, so that nothing is left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _benchmark(options)
    except (BrokenExecutor, torch.OutOfMemoryError) as error:
        words = str(error).splitlines()[0]
        say(f"error: a measuring process ended: {words}; use fewer --workers")
        return 1
    except KeyboardInterrupt:
        say("interrupted; rounds that were finished are in the file")
        return 130
    return 0


def _benchmark(options: argparse.Namespace) -> None:
    """Measures, writes, prints and draws.

    Raises:
        StudyError: An option has a value that is not allowed, or the device is missing.
    """
    for name in ("rounds", "seconds", "workers"):
        value = getattr(options, name)
        if value is not None and not value > 0:
            raise ConfigError(name, value, "must be above 0")
    device = machine.choose_device(options.device)
    cores = int(joblib.cpu_count())
    fastest = machine.fastest_precision(device)
    precisions = options.precisions or sorted({"fp32", fastest}, reverse=True)
    workers = options.workers or (min(cores, RUNS_PER_GPU) if device.type == "cuda" else cores)
    common = (str(options.output), device.type, cores, workers, precisions)
    trials = [t for name in dict.fromkeys(options.networks) for t in trials_of(name, *common)]
    ceilings: dict[str, list[float]] = defaultdict(list)
    check_writable(options.output, "output")
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "benchmark.json"
    # If this benchmark is interrupted, an earlier one's results must not be taken for its own.
    path.unlink(missing_ok=True)
    about = {"cores": cores, "kernels": kernels_for(device, "auto")}
    about |= machine.describe(device, cores)
    # The conventional recipe is measured twice in each round, and up to four times in the first.
    tries = options.rounds * len(trials) + (options.rounds + 2) * len({t.network for t in trials})
    minutes = tries * (options.seconds + DELAY[device.type] + 0.5) / 60
    say(f"about {minutes:.0f} minutes; nothing else should run meanwhile")
    with WorkerPool(workers) as pool, Console(stderr=True).status("warming up") as status:
        # All processes load their libraries and prepare their device before they are measured.
        trials_of("quick-8", *common)[-1].measure(pool, options.seconds)
        for number in range(1, options.rounds + 1):
            stage = f"round {number} of {options.rounds}"
            for precision in sorted({trial.precision for trial in trials}):
                status.update(f"{stage}: matrix product, {precision}")
                ceilings[precision] += pool.run(matrix_product, (precision, device.type, cores))
            for trial in trials:
                status.update(f"{stage}: {trial.name}")
                trial.measure(pool, options.seconds)
            result = {"machine": about, "seconds": options.seconds, **summary(trials, ceilings)}
            write_text(path, json.dumps(result, indent=2) + "\n")
        for trial in trials:
            status.update(f"evaluation: {trial.name}")
            trial.measure_evaluation(pool)
    result |= summary(trials, ceilings)
    write_text(path, json.dumps(result, indent=2) + "\n")
    _print_table(result)
    print(path, flush=True)
    # The study never imports the analysis, which draws and prints its own errors.
    subprocess.run([sys.executable, "-m", "analysis.benchmark", str(options.output)], check=False)


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
    network = None
    for record in result["measurements"]:
        if record["network"] != network:
            table.add_section()
        table.add_row(
            record["network"] if record["network"] != network else "",
            f"{record['recipe']}, {record['precision']}",
            f"{record['workers']} × {record['threads']}",
            f"{record['images_per_second']:,.0f}",
            f"{min(record['rounds']):,.0f} … {max(record['rounds']):,.0f}",
            f"{record['times_conventional']:.2f}",
            f"{100 * record['share_of_ceiling']:.0f} %",
        )
        network = record["network"]
    Console(width=None if sys.stdout.isatty() else 116).print(table)


if __name__ == "__main__":
    sys.exit(main())

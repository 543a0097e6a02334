"""A plan as text for readers, or as JSON for programs."""

import json
from collections.abc import Iterator
from itertools import groupby

from resnet_study.plan.plan import Plan, PlannedRun
from resnet_study.progress import duration

STATES = ("finished", "begun", "damaged", "not begun")


def as_json(plan: Plan) -> str:
    """The plan as JSON; times in seconds, disk in bytes."""
    config = plan.runs[0].config
    about = {
        "folder": f"{config.runs_dir}/{config.experiment_name}",
        "runs": len(plan.runs),
        **_counts(plan.runs),
        **plan.needs,
        "launcher": vars(plan.place),
        "notes": plan.notes,
        "each": [
            {"run_id": run.config.run_id, "state": run.state, "iteration": run.iteration}
            | {"seconds_left": run.seconds_left, **vars(run.estimate)}
            for run in plan.runs
        ],
    }
    return json.dumps(about, indent=2)


def as_text(plan: Plan) -> str:
    """The plan as a table and a few lines."""
    return "\n".join([*_table(plan), *_needs(plan)])


def _table(plan: Plan) -> Iterator[str]:
    """The request, a table of networks, and the runs that have begun."""
    config, runs = plan.runs[0].config, plan.runs
    states = ", ".join(f"{count} {state}" for state, count in _counts(runs).items() if count)
    yield f"{_count(len(runs), 'run')} in {config.runs_dir}/{config.experiment_name}: {states}"
    data, schedule = config.data, config.schedule
    yield f"{data.title}, {schedule.iterations:,} iterations of {schedule.batch_size} images\n"
    rows = [("network", "runs", "finished", "per run", "left", "from"), *_rows(runs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        yield "  ".join([name.ljust(widths[0]), *map(str.rjust, cells, widths[1:])])
    yield ""
    for run in (run for run in runs if run.state in ("begun", "damaged")):
        at = f"iteration {run.iteration} of {run.config.schedule.iterations}"
        yield f"{run.state}: {run.config.run_id}, {at if run.left else 'not counted'}"


def _counts(runs: list[PlannedRun]) -> dict[str, int]:
    return {state: sum(run.state == state for run in runs) for state in STATES}


def _rows(runs: list[PlannedRun]) -> Iterator[tuple[str, ...]]:
    """A row for each network, which is a run's id without seed and hash."""

    def network(run: PlannedRun) -> str:
        return run.config.run_id.rsplit("-", 2)[0]

    for name, group in groupby(sorted(runs, key=network), network):
        seeds = list(group)
        finished = sum(run.state == "finished" for run in seeds)
        left = _span(sum(run.seconds_left for run in seeds))
        one = seeds[0].estimate
        yield name, str(len(seeds)), str(finished), _span(one.seconds), left, one.basis


def _needs(plan: Plan) -> Iterator[str]:
    """Time, disk, Slurm's time limit, and the sources of these estimates."""
    place, needs = plan.place, plan.needs
    left = [run for run in plan.runs if run.left]
    if not left:
        yield "time   nothing is left to train"
        return
    on = f"{place.workers} at a time, each on {_count(place.threads, 'core')}"
    spent = f"{hours(needs['core_hours'])} core hours"
    if place.gpus:
        on += f"{' and' if place.cluster else ', sharing'} {_count(place.gpus, 'GPU')}"
        spent += f", {hours(needs['gpu_hours'])} GPU hours"
    yield f"time   about {_span(needs['wall_seconds'])}, {on} (launcher {place.launcher}); {spent}"
    needed, kept, free = (size(number) for key, number in needs.items() if "bytes" in key)
    short = needs["bytes_while"] > needs["bytes_free"]
    warning = ": too little, and the sweep will not start" if short else ""
    yield f"disk   up to {needed} while they run, {kept} kept; {free} free{warning}"
    run = max(left, key=lambda run: run.seconds_left)
    if place.timeout_min and (times := int(run.seconds_left / 60 / place.timeout_min)):
        never = f"; with max_num_timeout={place.max_num_timeout} it never finishes"
        end = never if times > place.max_num_timeout else " and goes on"
        reached = f"reaches timeout_min={place.timeout_min} {_count(times, 'time')}"
        yield f"limit  {run.config.run_id} {reached}{end}"
    yield from dict.fromkeys(f"from   {run.estimate.source}" for run in left)
    yield from (f"note   {note}" for note in plan.notes)


def hours(number: float) -> str:
    """Hours with the digits that an estimate deserves."""
    decimals = 0 if number >= 10 else 1 if number >= 0.1 else 2
    return f"{number:,.{decimals}f}"


def size(number: float) -> str:
    """Bytes in MB, or in GB from 1,000 MB on."""
    megabytes = round(number / 1e6)
    return f"{megabytes} MB" if megabytes < 1000 else f"{number / 1e9:,.1f} GB"


def _span(seconds: float) -> str:
    """Seconds in words, up to days."""
    days, rest = divmod(round(seconds / 3600), 24)
    return duration(seconds) if days < 2 else f"{days} d {rest} h"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'s' if number != 1 else ''}"

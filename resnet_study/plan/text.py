"""A plan for readers: a table and a few lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from resnet_study.config import RunConfig
from resnet_study.plan.images import images_of
from resnet_study.plan.mapping import as_mapping
from resnet_study.plan.measured import MEASURE
from resnet_study.plan.plan import Plan, PlannedRun
from resnet_study.progress import duration
from resnet_study.runs import RunFolder

NAMED = 8


@dataclass(frozen=True)
class Row:
    """A line of the table: runs of one network, and of one set of further words."""

    words: tuple[str, ...]
    runs: tuple[PlannedRun, ...]

    @property
    def config(self) -> RunConfig:
        return self.runs[0].config


def show(plan: Plan, as_json: bool) -> None:
    """Prints a plan to stdout."""
    if as_json:
        print(json.dumps(as_mapping(plan), indent=2))
        return
    terminal = sys.stdout.isatty()
    console = Console(width=None if terminal else 110, highlight=False)
    with console.capture() as capture:
        print_plan(plan, console, terminal)
    # Columns are padded to the right, which nobody sees and a diff stumbles over.
    print("\n".join(line.rstrip() for line in capture.get().splitlines()))


def span(seconds: float) -> str:
    """Seconds as a reader says them, up to days."""
    if seconds < 48 * 3600:
        return duration(seconds)
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"


def rows_of(plan: Plan) -> list[Row]:
    """Runs by family, depth and the further words of their ids, seeds taken together."""
    found: dict[tuple[Any, ...], list[PlannedRun]] = {}
    for run in plan.runs:
        model = run.config.model
        words = tuple(run.config.run_id.split("-")[:-2])
        name = len(f"{model.family}-{model.depth:03d}".split("-"))
        key = (model.family, len(words) - name, words[name:], model.depth)
        found.setdefault(key, []).append(run)
    return [Row(key[2], tuple(found[key])) for key in sorted(found)]


def print_plan(plan: Plan, console: Console, terminal: bool) -> None:
    """Writes a plan's lines and table."""
    rows = rows_of(plan)
    shared = [word for word in rows[0].words if all(word in row.words for row in rows)]
    console.print(_headline(plan), markup=False, soft_wrap=True)
    console.print(_what(plan.runs[0].config, shared), markup=False, soft_wrap=True)
    console.print()
    console.print(_table(rows, shared, terminal))
    console.print()
    for line in (*_begun(plan), *_sums(plan), *_sources(plan)):
        console.print(line, markup=False, soft_wrap=True)


def _headline(plan: Plan) -> str:
    asked = [run for run in plan.runs if run.asked]
    finished = sum(run.complete for run in asked)
    damaged = sum(run.state == "damaged" for run in asked)
    begun = sum(run.begun for run in asked)
    text = f"{_count(len(asked), 'run')} in {plan.folder}: {finished} finished"
    text += f", {begun} begun" if begun else ""
    text += f", {damaged} damaged" if damaged else ""
    text += f", {len(asked) - finished - begun - damaged} not begun"
    if more := len(plan.runs) - len(asked):
        text += f"; {more} more that others start from"
    return text


def _what(config: RunConfig, shared: Sequence[str]) -> str:
    schedule = config.schedule
    text = (
        f"{config.data.title}, {schedule.iterations:,} iterations of {schedule.batch_size} images, "
    )
    return text + config.precision + (f" ({' '.join(shared)})" if shared else "")


def _table(rows: Sequence[Row], shared: Sequence[str], terminal: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD if terminal else None, pad_edge=False, show_edge=False)
    table.add_column("network", no_wrap=True)
    for title in ("depth", "runs", "finished", "per run", "left"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("from")
    former = None
    for row in rows:
        family = row.config.model.family
        if terminal and former not in (None, family):
            table.add_section()
        former = family
        extra = [word for word in row.words if word not in shared]
        left = sum(run.seconds_left for run in row.runs)
        table.add_row(
            " ".join([family, *extra]),
            str(row.config.model.depth),
            str(len(row.runs)),
            str(sum(run.complete for run in row.runs)),
            _range([run.estimate.seconds for run in row.runs]),
            span(left) if left else "-",
            ", ".join(dict.fromkeys(run.estimate.basis for run in row.runs)),
        )
    return table


def _range(seconds: Sequence[float]) -> str:
    least, most = span(min(seconds)), span(max(seconds))
    return least if least == most else f"{least} to {most}"


def _begun(plan: Plan) -> Iterator[str]:
    begun = [run for run in plan.runs if run.begun]
    for run in begun[:NAMED]:
        total = run.config.schedule.iterations
        text = f"{run.state}: {run.config.run_id}, iteration {run.iteration} of {total}"
        yield text + ("" if run.saved == run.iteration else f"; saved at {run.saved}")
    if len(begun) > NAMED:
        yield f"... and {len(begun) - NAMED} more that have begun"
    for run in plan.runs:
        if run.state == "damaged":
            yield f"damaged: {RunFolder.of(run.config).path}; not counted"


def _sums(plan: Plan) -> Iterator[str]:
    if not plan.left:
        yield "time   nothing is left to train"
    else:
        hours = [f"{_number(plan.core_hours)} core hours"]
        if plan.place.gpus:
            hours.append(f"{_number(plan.gpu_hours)} GPU hours")
        yield f"time   about {span(plan.wall_seconds)}, {plan.place.describe()}; {', '.join(hours)}"
        kept, free = _size(plan.bytes_kept), _size(plan.bytes_free)
        text = f"disk   up to {_size(plan.bytes_while)} while they run, {kept} kept; {free} free"
        if plan.bytes_while > plan.bytes_free:
            text += ": too little, and the sweep will not start"
        yield text
    yield from _limits(plan)


def _limits(plan: Plan) -> Iterator[str]:
    if plan.place.minutes is None or not plan.left:
        return
    minutes, again = plan.place.minutes
    longest = max(plan.left, key=lambda run: run.seconds_left)
    parts = longest.seconds_left / 60 / max(minutes, 1)
    name = longest.config.run_id
    if parts > 1 + again:
        yield (
            f"limit  {name} takes {span(longest.seconds_left)}, and hydra.launcher.timeout_min="
            f"{minutes} with max_num_timeout={again} allow {span(60 * minutes * (1 + again))}: "
            "it will not finish"
        )
    elif parts > 1:
        yield f"limit  {name} reaches timeout_min={minutes} {_times(int(parts))}, and goes on"


def _sources(plan: Plan) -> Iterator[str]:
    benchmark, left = plan.benchmark, plan.left
    if not left:
        return
    by_record = [run for run in left if run.estimate.basis.endswith(("run", "runs"))]
    if by_record:
        spread = max((run.estimate.spread or 0.0 for run in by_record), default=0.0)
        text = f"from   finished runs of the same network in {plan.folder}"
        yield text + (f", which differ by up to {spread:.0f} %" if spread else "")
    others = [run for run in left if run not in by_record]
    if others:
        spreads = [run.estimate.spread for run in others]
        known = [spread for spread in spreads if spread is not None]
        text = f"from   {_shown(benchmark.path)}: {benchmark.machine}"
        if len(known) == len(spreads):
            text += f"; its rounds differ by up to {max(known):.0f} %"
        else:
            text += "; measured once, so how sure that is it cannot say"
        yield text
        yield from _whose(plan)
    notes = dict.fromkeys(note for run in left for note in run.estimate.notes)
    yield from (f"note   {note}" for note in notes)
    bases = {run.estimate.basis for run in others}
    if "scaled" in bases:
        yield (
            "note   scaled: no network of this width on images of this size was measured; "
            "in proportion to width and pixels, which may be wrong by half"
        )
    yield f"note   the start of a run is assumed to take {left[0].estimate.start:.0f} s" + (
        "; time in the cluster's queue is not counted" if plan.place.cluster else ""
    )
    data = left[0].config.data
    if not images_of(data).downloaded:
        yield f"note   {data.title} is downloaded first, to data.root={data.root}"


def _whose(plan: Plan) -> Iterator[str]:
    if plan.source != "another machine":
        return
    if plan.place.cluster:
        yield (
            "note   that is not the cluster: run make bench on one of its machines, and name "
            "the file, benchmark=FILE"
        )
    else:
        yield f"note   this machine is another, {plan.device_name}; measure it: {MEASURE}"


def _shown(path: Path) -> Path:
    """A path as short as it can be typed here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'s' if number != 1 else ''}"


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}" if value >= 0.1 else f"{value:.2f}"


def _size(count: float) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.0f} MB"

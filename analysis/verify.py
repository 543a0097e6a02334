"""Command line: `python -m analysis.verify runs/verify runs/recorded/quick`."""

import argparse
import io
import sys
from typing import Any

import numpy as np
import pandas as pd

from analysis.load import read_study
from analysis.manifest import data_of
from analysis.samples import interval
from analysis.statistics import NAMED, final_errors
from analysis.study import Study
from resnet_study.store.folder import COMPLETE, METRICS, RunFolder
from resnet_study.system.command import command
from resnet_study.system.errors import StudyError
from resnet_study.system.files import expanded

# The columns to compare: all but timings, which always differ.
CURVE = [column for column in METRICS if column not in ("seconds", "images_per_second")]
# What rounding depends on, besides the versions of libraries.
MACHINE = ("device_name", "processor", "threads", "processes", "kernels", "compiler")


# Whether a run agrees with its record, and the reason.
Finding = tuple[bool, str]


@command
def main(arguments: list[str] | None = None) -> int:
    """Compares runs with their record; returns 0 where all agree, 1 where one does not."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.verify",
        description="Compares runs that were trained again with the record of them: bit for bit "
        "on the same versions, processor and threads. On others, each final training and test "
        "error must lie in the 95 % prediction interval of the recorded seeds; one correct value "
        "in twenty falls outside. Trains nothing; `make verify` trains and compares.",
    )
    parser.add_argument("runs", type=expanded, help="the runs trained again, such as runs/verify")
    parser.add_argument("record", type=expanded, help="the record, such as runs/recorded/quick")
    options = parser.parse_args(arguments)
    if options.runs.resolve() == options.record.resolve():
        raise StudyError("runs", options.runs, "is the record itself; name another folder")
    record, study = read_study(options.record), read_study(options.runs)
    findings = {run_id: _compared(run_id, study, record) for run_id in study.configs}
    for run_id, problem in study.damaged.items():
        findings[run_id] = (False, f"cannot be read: {problem}")
    for run_id, (agrees, text) in findings.items():
        print(f"{run_id}\n  {'agrees' if agrees else 'DIFFERS'}: {text}")
    agreeing = sum(agrees for agrees, _ in findings.values())
    print(
        f"of {len(record.manifests)} runs in {options.record} {len(findings)} trained again: "
        f"{agreeing} agree, {len(findings) - agreeing} differ"
    )
    return 0 if agreeing == len(findings) else 1


def _compared(run_id: str, study: Study, record: Study) -> Finding:
    """Compares a run that was trained again with the record of it."""
    if run_id in record.damaged:
        return False, f"its record cannot be read: {record.damaged[run_id]}"
    if run_id not in record.manifests:
        return False, f"{record.folder} has no such run"
    again, former = study.manifests[run_id], record.manifests[run_id]
    for manifest, whose in ((again, "is"), (former, "is on record as")):
        if manifest["state"] not in COMPLETE:
            return False, f"{whose} {manifest['state']}, not finished"
    if data_of(again).get("fingerprint") != data_of(former).get("fingerprint"):
        return False, "was trained on other images than the record"
    texts = [RunFolder(part.place(run_id)).read_metrics() for part in (study, record)]
    # Compared as text, so that a difference in the last digit counts.
    curves = [pd.read_csv(io.StringIO(text), dtype=str)[CURVE] for text in texts]
    if curves[0].equals(curves[1]):
        return True, f"bit for bit, {len(curves[0])} rows"
    now, then = _circumstances(again), _circumstances(former)
    apart = [
        f"{name} {now.get(name)}, recorded {then.get(name)}"
        for name in then | now
        if now.get(name) != then.get(name)
    ]
    if not apart:
        place = _first_difference(*curves)
        return False, f"{place}, though machine and versions are the same"
    return _beside_the_seeds(run_id, study, record, f"not bit for bit ({'; '.join(apart)})")


def _circumstances(manifest: dict[str, Any]) -> dict[str, Any]:
    """What rounding depends on: versions, machine, and the former machines of a resumed run.

    What the manifest of an older version lacks counts as different.
    """
    *former, own = [
        f"{part.get('processes', 1)} × {part.get('processor') or part.get('device_name')}"
        for part in [*(manifest.get("former_machines") or []), manifest]
    ]
    others = "; ".join(name for name in dict.fromkeys(former) if name != own)
    machine = {name: manifest.get(name) for name in MACHINE}
    return machine | (manifest.get("versions") or {}) | {"formerly on": others or "none"}


def _first_difference(again: pd.DataFrame, former: pd.DataFrame) -> str:
    """The first value in which a curve differs from the recorded one."""
    if len(again) != len(former):
        return f"{len(again)} rows, recorded {len(former)}"
    differ = again.ne(former) & ~(again.isna() & former.isna())
    row, place = np.argwhere(differ.to_numpy())[0]
    column = CURVE[place]
    return (
        f"{column} {again[column][row]} at iteration {again['iteration'][row]}, "
        f"recorded {former[column][row]}"
    )


def _beside_the_seeds(run_id: str, study: Study, record: Study, reason: str) -> Finding:
    """Compares final errors with the prediction interval of the recorded seeds."""
    runs = study.runs[study.runs["run_id"] == run_id]
    finals = final_errors(runs)
    if finals.empty:
        state = record.manifests[run_id]["state"]
        return state == "diverged", f"{reason}, diverged; recorded {state}"
    end = finals.iloc[0]
    # Which settings a text names depends on the other runs of a folder, so that it is the record's.
    under = record.runs.loc[record.runs["run_id"] == run_id, "settings"]
    recorded = final_errors(record.runs[record.runs["settings"].isin(under)])
    cell = recorded[(recorded["family"] == end["family"]) & (recorded["depth"] == end["depth"])]
    agrees, words = True, []
    for column, title in NAMED.items():
        found = f"{title} error {end[column]:.2f} %"
        bounds = interval(cell[column].dropna(), of_next=True)
        if bounds is None:
            return False, f"{reason}; {found}, too few recorded seeds ({len(cell)})"
        agrees &= bounds[0] <= end[column] <= bounds[1]
        low, high = max(bounds[0], 0.0), min(bounds[1], 100.0)
        words.append(f"{found}, by {len(cell)} recorded seeds {low:.2f} to {high:.2f} %")
    return bool(agrees), "; ".join([reason, *words])


if __name__ == "__main__":
    sys.exit(main())

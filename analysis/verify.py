"""Command line: `python -m analysis.verify runs/verify runs/recorded/quick`."""

from __future__ import annotations

import argparse
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.load import read_study
from analysis.manifest import data_of
from analysis.samples import prediction_interval
from analysis.statistics import final_errors
from analysis.study import Study
from resnet_study.store.folder import COMPLETE, RunFolder
from resnet_study.system.errors import StudyError

# What the same computation takes differs each time.
TIMES = ("seconds", "images_per_second")
# Beside versions, all that rounding depends on.
MACHINE = ("device_name", "processor", "threads", "processes", "kernels", "compiler")
COMPARED = {"train_error": "training error", "test_error": "test error"}


@dataclass(frozen=True)
class Finding:
    """What the comparison of one run with its record has found.

    Attributes:
        run_id: The run.
        agrees: Whether it agrees with the record.
        text: Why.
    """

    run_id: str
    agrees: bool
    text: str


def main(arguments: list[str] | None = None) -> int:
    """Compares runs with their record; returns 0 where all agree, 1 where one does not."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.verify",
        description="Compares runs that were trained again with the record of them: bit for bit "
        "on the same versions, processor and threads. Elsewhere their final training and test "
        "errors have to lie where, by the recorded seeds, one more seed would end, at 95 % "
        "confidence each: of honest runs, too, some will not. Trains nothing; `make verify` "
        "does both.",
    )
    parser.add_argument("runs", type=Path, help="the runs trained again, such as runs/verify")
    parser.add_argument("record", type=Path, help="the record, such as runs/recorded/quick")
    options = parser.parse_args(arguments)
    try:
        if options.runs.resolve() == options.record.resolve():
            raise StudyError("runs", options.runs, "is the record itself; name another folder")
        record = read_study(options.record)
        findings = compare(read_study(options.runs), record)
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for finding in findings:
        print(f"{finding.run_id}\n  {'agrees' if finding.agrees else 'DIFFERS'}: {finding.text}")
    agreeing = sum(finding.agrees for finding in findings)
    print(
        f"of {len(record.manifests)} runs in {options.record} {len(findings)} trained again: "
        f"{agreeing} agree, {len(findings) - agreeing} differ"
    )
    return 0 if agreeing == len(findings) else 1


def compare(study: Study, record: Study) -> list[Finding]:
    """Compares each run of a study with the record of it.

    Args:
        study: Runs that were trained again.
        record: Runs of the same descriptions, and further seeds of them.

    Raises:
        StudyError: A curve cannot be read.
    """
    return [
        *(_compared(run_id, study, record) for run_id in study.configs),
        *(Finding(name, False, f"cannot be read: {why}") for name, why in study.damaged.items()),
    ]


def _compared(run_id: str, study: Study, record: Study) -> Finding:
    if run_id in record.damaged:
        return Finding(run_id, False, f"its record cannot be read: {record.damaged[run_id]}")
    if run_id not in record.manifests:
        return Finding(run_id, False, f"{record.folder} has no such run")
    again, former = study.manifests[run_id], record.manifests[run_id]
    for manifest, whose in ((again, "is"), (former, "is on record as")):
        if manifest["state"] not in COMPLETE:
            return Finding(run_id, False, f"{whose} {manifest['state']}, not finished")
    if data_of(again).get("fingerprint") != data_of(former).get("fingerprint"):
        return Finding(run_id, False, "was trained on other images than the record")
    curves = [curve(RunFolder(part.place(run_id))) for part in (study, record)]
    if curves[0].equals(curves[1]):
        return Finding(run_id, True, f"bit for bit, {len(curves[0])} rows")
    apart = differing(former, again)
    if not apart:
        place = _first_difference(*curves)
        return Finding(run_id, False, f"{place}, though machine and versions are the same")
    reasons = "; ".join(f"{name} {now}, recorded {then}" for name, (then, now) in apart.items())
    return _beside_the_seeds(run_id, study, record, f"not bit for bit ({reasons})")


def _first_difference(again: pd.DataFrame, former: pd.DataFrame) -> str:
    """Where the curve leaves the recorded one."""
    if len(again) != len(former):
        return f"{len(again)} rows, recorded {len(former)}"
    unequal = again.fillna("").ne(former.fillna(""))
    row = int(unequal.any(axis=1).to_numpy().argmax())
    column = list(unequal.columns)[int(unequal.iloc[row].to_numpy().argmax())]
    return (
        f"{column} {again[column][row]} at iteration {again['iteration'][row]}, "
        f"recorded {former[column][row]}"
    )


def _beside_the_seeds(run_id: str, study: Study, record: Study, reason: str) -> Finding:
    """Compares the end of a run with where one more seed of the recorded runs would end."""
    runs = study.runs[study.runs["run_id"] == run_id]
    finals = final_errors(runs)
    if finals.empty:
        state = record.manifests[run_id]["state"]
        return Finding(run_id, state == "diverged", f"{reason}, diverged; recorded {state}")
    end = finals.iloc[0]
    recorded = final_errors(record.runs[record.runs["settings"] == runs["settings"].iloc[0]])
    cell = recorded[(recorded["family"] == end["family"]) & (recorded["depth"] == end["depth"])]
    agrees, words = True, []
    for column, title in COMPARED.items():
        found = f"{title} {end[column]:.2f} %"
        bounds = prediction_interval(cell[column].dropna())
        if bounds is None:
            return Finding(run_id, False, f"{reason}; {found}, {len(cell)} recorded: no spread")
        agrees &= bounds[0] <= end[column] <= bounds[1]
        low, high = max(bounds[0], 0.0), min(bounds[1], 100.0)
        words.append(f"{found}, by {len(cell)} recorded seeds {low:.2f} to {high:.2f} %")
    return Finding(run_id, bool(agrees), "; ".join([reason, *words]))


def curve(folder: RunFolder) -> pd.DataFrame:
    """A run's metrics as text, to the last digit, without the columns of time.

    Raises:
        StorageError: They cannot be read.
    """
    return pd.read_csv(io.StringIO(folder.read_metrics()), dtype=str).drop(columns=list(TIMES))


def differing(one: dict[str, Any], other: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What two manifests say otherwise of machine and versions, by its name.

    What one of them does not say, as older ones do, counts as different; so do the other
    machines on which a resumed run was before.
    """
    facts = [
        {name: manifest.get(name) for name in MACHINE}
        | (manifest.get("versions") or {})
        | {"formerly on": _former(manifest)}
        for manifest in (one, other)
    ]
    pairs = {name: (facts[0].get(name), facts[1].get(name)) for name in facts[0] | facts[1]}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _former(manifest: dict[str, Any]) -> str:
    """The machines of a resumed run that are not its last one."""

    def name(machine: dict[str, Any]) -> str:
        model = machine.get("processor") or machine.get("device_name")
        return f"{machine.get('processes', 1)} × {model}"

    former = [name(machine) for machine in manifest.get("former_machines") or []]
    return "; ".join(word for word in dict.fromkeys(former) if word != name(manifest)) or "none"


if __name__ == "__main__":
    sys.exit(main())

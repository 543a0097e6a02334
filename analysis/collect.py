"""Several folders that are parts of one study, such as one sweep on two hosts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from analysis.agreement import curve, differing
from analysis.protocol import settings_of
from analysis.statistics import final_errors
from analysis.study import Copy, Duplicate, Study, machine_of
from resnet_study.errors import StorageError, StudyError
from resnet_study.runs import COMPLETE, RunFolder

RANK = {"finished": 0, "diverged": 1}


class ConflictError(StudyError):
    """Runs that cannot stand in one study; waiting for more of them mends nothing."""


def collect(parts: Sequence[Study], name: str | None = None) -> Study:
    """Makes one study of several folders, in which each run counts once.

    Of a run that several folders hold, a finished copy is taken before a diverged one, that
    before one in any other state, and of unfinished ones the one that has come furthest. Of
    equals, the folder named first. A damaged copy is never taken where another can be read.
    Nothing is copied or changed.

    Args:
        parts: As from `read_studies`, named apart.
        name: What to call the study; by default what its folders are called.

    Returns:
        The study, its runs in the order of their names, as if they lay in one folder.

    Raises:
        ConflictError: Runs of the same settings were trained on different images, or one
            name stands for two descriptions.
        StudyError: There are no parts, or a copy could not be read a second time.
    """
    if not parts:
        raise StudyError("runs", "nothing", "at least one folder is needed")
    _check_images(parts)
    chosen: dict[str, Study] = {}
    duplicates = []
    for run_id, found in _copies(parts).items():
        # Sorting is stable: among equals the first folder stays first.
        (part, taken), *others = sorted(found, key=_preference)
        key = taken.path.name
        if key in chosen:
            raise ConflictError(
                "run",
                taken.path,
                f"has the name of {chosen[key].place(key)} and other settings; allowed is one "
                "description for one name",
            )
        chosen[key] = part
        left_out = [_compared(part, taken, *other) for other in others]
        left_out += _damaged_copies(parts, {run_id, key})
        if left_out:
            duplicates.append(Duplicate(key, taken, tuple(left_out)))
    reported = {copy.path for duplicate in duplicates for copy in duplicate.left_out}
    damaged = {
        f"{part.name}/{key}": (part.place(key), problem)
        for part in parts
        for key, problem in part.damaged.items()
        if part.place(key) not in reported
    }
    ids = sorted(chosen)
    own = [part.part({key for key in ids if chosen[key] is part}) for part in parts]
    called = list(dict.fromkeys(part.folder.resolve().name for part in parts))
    return Study(
        name=name or " and ".join(called),
        folder=parts[0].folder,
        runs=_joined([part.runs for part in own]),
        configs={key: chosen[key].configs[key] for key in ids},
        manifests={key: chosen[key].manifests[key] for key in ids},
        damaged={key: problem for key, (_, problem) in damaged.items()},
        probes=_joined([part.probes for part in own]),
        collected=tuple(part.folder for part in parts),
        places={key: chosen[key].place(key) for key in ids}
        | {key: place for key, (place, _) in damaged.items()},
        duplicates=tuple(sorted(duplicates, key=lambda duplicate: duplicate.run_id)),
    )


def _copies(parts: Sequence[Study]) -> dict[str, list[tuple[Study, Copy]]]:
    """The readable copies of each run, and the part that holds each, in the parts' order."""
    copies: dict[str, list[tuple[Study, Copy]]] = {}
    for part in parts:
        reached = part.runs.groupby("run_id")["iteration"].max()
        for key, config in part.configs.items():
            manifest = part.manifests[key]
            iterations = int(reached.get(key, 0))
            copy = Copy(part.place(key), manifest["state"], iterations, *machine_of(manifest))
            # By its description: a folder may have been renamed on the way.
            copies.setdefault(config.run_id, []).append((part, copy))
    return copies


def _check_images(parts: Sequence[Study]) -> None:
    """Finds out whether runs of the same settings were trained on the same images.

    A fingerprint is of all pixels, labels and their order, while settings only name a data
    set; runs of different seeds are points of one mean as well, so these are compared too.
    """
    first: dict[str, tuple[Path, object]] = {}
    for part in parts:
        for key, config in part.configs.items():
            data = part.manifests[key].get("data")
            fingerprint = data.get("fingerprint") if isinstance(data, dict) else None
            if fingerprint is None:
                continue
            place = part.place(key)
            other, expected = first.setdefault(settings_of(config), (place, fingerprint))
            if fingerprint != expected:
                raise ConflictError(
                    "run",
                    place,
                    f"was trained on other images (fingerprint {fingerprint}) than {other} "
                    f"({expected}); allowed in one study are the same images, folders of "
                    "others can be set side by side",
                )


def _preference(found: tuple[Study, Copy]) -> tuple[int, int]:
    copy = found[1]
    complete = copy.state in COMPLETE
    return RANK.get(copy.state, len(RANK)), 0 if complete else -(copy.iterations or 0)


def _compared(part: Study, taken: Copy, other_part: Study, other: Copy) -> Copy:
    """A copy that was left out, with what its curve says beside that of the taken one."""
    if other.state != taken.state or other.state not in COMPLETE:
        return other
    if curve(RunFolder(taken.path)).equals(curve(RunFolder(other.path))):
        return replace(other, finding="same curve", difference=0.0)
    manifests = part.manifests[taken.path.name], other_part.manifests[other.path.name]
    names = list(differing(*manifests))
    if manifests[0].get("commit") != manifests[1].get("commit"):
        names.append("commit")
    apart = f" (other: {', '.join(names)})" if names else ""
    if other.state != "finished":
        return replace(other, finding=f"other curve{apart}")
    difference = _final_error(other_part, other) - _final_error(part, taken)
    finding = f"other curve, final training error {difference:+.2f} points{apart}"
    return replace(other, finding=finding, difference=difference)


def _final_error(part: Study, copy: Copy) -> float:
    finals = final_errors(part.runs[part.runs["run_id"] == copy.path.name])
    return float(finals["train_error"].iloc[0])


def _damaged_copies(parts: Sequence[Study], names: set[str]) -> list[Copy]:
    """The damaged folders of one run; their manifests may still say where they come from."""
    copies = []
    for part in parts:
        for name in sorted(names & part.damaged.keys()):
            try:
                manifest = RunFolder(part.place(name)).read_manifest() or {}
            except StorageError:
                manifest = {}
            path, machine = part.place(name), machine_of(manifest)
            problem = part.damaged[name].replace(f"{path}/", "")
            copies.append(Copy(path, "damaged", None, *machine, problem))
    return copies


def _joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Rows of several folders in the order in which one folder would give them."""
    filled = [frame for frame in frames if len(frame)]
    if not filled:
        return frames[0]
    return pd.concat(filled).sort_values("run_id", kind="stable", ignore_index=True)


def summary_of_copies(duplicates: Sequence[Duplicate]) -> str:
    """How far the copies of finished runs agree, in a sentence; "" without duplicates."""
    if not duplicates:
        return ""
    several = f"{len(duplicates)} runs lie" if len(duplicates) > 1 else "1 run lies"
    words = [f"{several} in several folders and count{'s' * (len(duplicates) == 1)} once"]
    found = [copy for duplicate in duplicates for copy in duplicate.left_out if copy.finding]
    same = sum(copy.finding == "same curve" for copy in found)
    if same:
        words.append(f"{same} left out with the same curve as the one taken")
    other = [copy.difference for copy in found if copy.finding != "same curve"]
    apart = [abs(difference) for difference in other if difference is not None]
    if apart:
        words.append(
            f"{len(apart)} with another, by up to {max(apart):.2f} points of final training error"
        )
    return "; ".join(words)


def sources_of(study: Study) -> pd.DataFrame:
    """Where a study's runs come from, one row per folder, host and device.

    Returns:
        `folder` (only of a collected study), `host, device, runs` and `finished`, numbers
        of runs.
    """
    names = ["folder", "host", "device"]
    every: Counter[tuple[str, ...]] = Counter()
    finished: Counter[tuple[str, ...]] = Counter()
    for run_id, manifest in study.manifests.items():
        source = (str(study.place(run_id).parent), *machine_of(manifest))
        every[source] += 1
        finished[source] += manifest["state"] == "finished"
    rows = [(*source, every[source], finished[source]) for source in every]
    frame = pd.DataFrame(rows, columns=[*names, "runs", "finished"])
    if not study.collected:
        frame = frame.drop(columns="folder")
    return frame.sort_values(list(frame.columns[:-2]), ignore_index=True)


def copies_of(study: Study) -> pd.DataFrame:
    """The runs that several folders hold, one row per copy.

    Returns:
        `run, copy` ("taken" or "left out"), `folder, finding, state, iterations` (missing
        of a damaged copy), `host` and `device`, as in `Copy`.
    """
    rows = [
        {
            "run": duplicate.run_id,
            "copy": "taken" if copy is duplicate.taken else "left out",
            "folder": str(copy.path.parent),
            "finding": copy.finding,
            "state": copy.state,
            "iterations": copy.iterations,
            "host": copy.host,
            "device": copy.device,
        }
        for duplicate in study.duplicates
        for copy in (duplicate.taken, *duplicate.left_out)
    ]
    return pd.DataFrame(rows).astype({"iterations": float})

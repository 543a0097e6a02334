"""What the analysis reads from a run's manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from resnet_study.system.errors import StudyError

COSTS = ("parameters", "multiply_adds", "seconds", "waiting_seconds", "peak_memory_bytes")
NUMBER = (int, float)
MACHINE: dict[str, Any] = {"processes": int, "hosts": list}
# The types of the values that are read; only the state has to be there.
TYPES: dict[str, Any] = {
    **dict.fromkeys(COSTS, NUMBER),
    **MACHINE,
    "versions": dict,
    "data": dict,
    "resumed": list,
    "former_machines": list,
    "evaluation": dict,
}
# The same for each entry of a list or dict in the manifest.
ENTRIES: dict[str, dict[str, Any]] = {
    "resumed": {},
    "former_machines": MACHINE,
    "evaluation": {"error": NUMBER, "top5_error": NUMBER},
}


def check_manifest(manifest: dict[str, Any], path: Path) -> None:
    """Checks the types of the values that the analysis reads.

    Raises:
        StudyError: A value has another type.
    """
    _check_types("manifest", manifest, TYPES, path)
    for name, types in ENTRIES.items():
        entries = manifest.get(name) or []
        for entry in entries.values() if isinstance(entries, dict) else entries:
            _check_types(name, entry, types, path)


def _check_types(name: str, values: object, types: dict[str, Any], path: Path) -> None:
    """Raises an error that names the first value of the wrong type, or all of them."""
    wrong = [name]
    if isinstance(values, dict):
        known = {key: values[key] for key in types if values.get(key) is not None}
        # To Python, True is an int.
        wrong = [
            key
            for key, value in known.items()
            if isinstance(value, bool) or not isinstance(value, types[key])
        ]
    if wrong:
        raise StudyError("manifest", path, f"is damaged: {wrong[0]} has the wrong type")


def machine_of(manifest: dict[str, Any]) -> tuple[str, str]:
    """The hosts and the devices that a run was trained on; one that failed early names none.

    A run that was resumed elsewhere, or trained in several processes, has been on several.
    """
    hosts: list[str] = []
    devices: list[str] = []
    for part in [*(manifest.get("former_machines") or []), manifest]:
        hosts += map(str, part.get("hosts") or [part.get("host") or "unknown host"])
        many = f"{count} × " if (count := part.get("processes") or 1) > 1 else ""
        devices.append(many + str(part.get("device_name") or "unknown device"))
    return ", ".join(dict.fromkeys(hosts)), ", then ".join(dict.fromkeys(devices))


def data_of(manifest: dict[str, Any]) -> dict[str, Any]:
    """What is known of the images that a run was trained on; nothing if it failed early."""
    return manifest.get("data") or {}


def classes_of(manifest: dict[str, Any]) -> int:
    """How many classes a run's images have; ten, as CIFAR-10, where the manifest says nothing."""
    classes = data_of(manifest).get("classes")
    return classes if isinstance(classes, int) and classes > 1 else 10

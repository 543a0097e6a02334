"""What the analysis reads from a run's manifest."""

from pathlib import Path
from typing import Any

from resnet_study.system.errors import StudyError

COSTS = ("parameters", "multiply_adds", "seconds", "waiting_seconds", "peak_memory_bytes")
NUMBER = (int, float)
MACHINE: dict[str, Any] = {"processes": int, "hosts": list}
SCORES: dict[str, Any] = {"error": NUMBER, "top5_error": NUMBER}
# The types of the values that are read; each value may be missing.
SHAPES: dict[str, Any] = {
    **dict.fromkeys(COSTS, NUMBER),
    **MACHINE,
    "versions": {},
    "data": {},
    "resumed": [{}],
    "former_machines": [MACHINE],
    "evaluation": dict.fromkeys(("single", "ten_crop", "multi_scale"), SCORES),
}


def check_manifest(manifest: dict[str, Any], path: Path) -> None:
    """Checks the types of the values that the analysis reads.

    Raises:
        StudyError: A value has another type.
    """
    for name, shape in SHAPES.items():
        if not _fits(manifest, {name: shape}):
            raise StudyError("manifest", path, f"is damaged: {name} has the wrong type")


def _fits(value: Any, shape: Any) -> bool:
    """Whether a value has the given type, or is a list or dict with entries of the given types."""
    if isinstance(shape, dict):
        known = {key: value.get(key) for key in shape} if isinstance(value, dict) else {}
        fits = (each is None or _fits(each, shape[key]) for key, each in known.items())
        return isinstance(value, dict) and all(fits)
    if isinstance(shape, list):
        return isinstance(value, list) and all(_fits(each, shape[0]) for each in value)
    # In Python True is an int.
    return isinstance(value, shape) and not isinstance(value, bool)


def machine_of(manifest: dict[str, Any]) -> tuple[str, str]:
    """The hosts and the devices that a run was trained on, each as text.

    There are several if the run was resumed elsewhere or trained in several processes. A run that
    failed early may have recorded neither; they are
    then "unknown host" and "unknown device".
    """
    hosts: list[str] = []
    devices: list[str] = []
    for part in [*(manifest.get("former_machines") or []), manifest]:
        hosts += map(str, part.get("hosts") or [part.get("host") or "unknown host"])
        many = f"{count} × " if (count := part.get("processes") or 1) > 1 else ""
        devices.append(many + str(part.get("device_name") or "unknown device"))
    return ", ".join(dict.fromkeys(hosts)), ", then ".join(dict.fromkeys(devices))


def data_of(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest's entries about the data set; empty for a run that failed early."""
    return manifest.get("data") or {}


def classes_of(manifest: dict[str, Any]) -> int:
    """The number of classes of a run's images; 10 if the manifest does not say."""
    classes = data_of(manifest).get("classes")
    return classes if isinstance(classes, int) and classes > 1 else 10

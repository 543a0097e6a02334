"""Protocols: the settings that runs must share to be compared."""

import json
from collections.abc import Mapping
from typing import Any

from resnet_study.config import RunConfig

_NETWORK = (
    "kind", "shortcut", "depth", "layers_per_block", "init", "norm", "bottleneck_stride"
)  # fmt: skip
# Settings that change no step of the training or only its rounding, and the head's initial
# weights, which the paper leaves open.
_NEUTRAL = {
    "precision", "model.head_std", "schedule.log_every", "schedule.eval_every",
    "schedule.eval_train_images", "schedule.eval_statistics",
}  # fmt: skip
# Settings of a schedule that act from the first fall of the rate on.
_LATER = {"schedule.name", "schedule.iterations", "schedule.milestones", "schedule.gamma"}


def settings_of(configs: Mapping[str, RunConfig]) -> dict[str, dict[str, str]]:
    """The settings that differ from the paper's protocol, without the network's and the seed.

    A control without batch norm needs a learning rate of its own, which its network's name
    states. It counts among the runs with batch norm from which only its rate sets it apart, if
    these all have one rate.

    Args:
        configs: Descriptions by run id, those of an experiment's folder.

    Returns:
        Dotted keys and text by run id, empty for CIFAR-10 at the paper's schedule. Only runs of
        equal settings belong to one study; others differ in more than their network.
    """
    own = {run_id: _settings(config) for run_id, config in configs.items()}
    controls = {run_id for run_id, config in configs.items() if config.model.norm == "none"}
    normed = {tuple(each.items()): each for run_id, each in own.items() if run_id not in controls}
    usual: dict[tuple[tuple[str, str], ...], list[dict[str, str]]] = {}
    for each in normed.values():
        usual.setdefault(_without_rate(each), []).append(each)
    for run_id in controls:
        siblings = usual.get(_without_rate(own[run_id]), [])
        if tuple(own[run_id].items()) not in normed and len(siblings) == 1:
            own[run_id] = siblings[0]
    return own


def _without_rate(settings: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(pair for pair in settings.items() if pair[0] != "schedule.learning_rate")


def paper_iterations(config: RunConfig) -> int:
    """Iterations, from the first on, in which a run follows the paper's protocol (§4.2).

    Returns:
        All 64,000 on CIFAR-10 at the paper's schedule, whatever the precision; those before the
        first fall of the rate where only the schedule after it differs; else 0.
    """
    schedule, paper = config.schedule, RunConfig().schedule
    differing = set(_settings(config)) - _NEUTRAL
    if not differing:
        return paper.iterations
    first = (*schedule.milestones, schedule.iterations)[0]
    return 0 if differing - _LATER else min(first, paper.milestones[0], schedule.iterations)


def _settings(config: RunConfig) -> dict[str, str]:
    identity = {key: v for key, v in config.canonical().items() if key not in ("seed", "start")}
    usual_width = config.model.width == config.model.design.width
    for key in (*_NETWORK, *["width"] * usual_width):
        identity.get("model", {}).pop(key, None)
    identity.get("data", {}).get("augment", {}).pop("colour", None)
    return flat(identity)


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted keys and text, in alphabetical order."""
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = json.dumps(value, separators=(",", ":")).strip('"')
    return dict(sorted(found.items()))


def protocols(configs: dict[str, RunConfig], started: Mapping[str, str]) -> dict[str, list[str]]:
    """Groups run ids by protocol, which is named by its settings (see `settings_of`).

    Runs of different data, schedules or widths are not points of one curve, even where they
    lie in one folder.

    Args:
        configs: Descriptions by run id.
        started: When each run was started, as an ISO date, by run id.

    Returns:
        Run ids by name; the protocol with the newest run comes first. The name leaves out the
        settings that all protocols share.
    """
    settings = {run_id: own.items() for run_id, own in settings_of(configs).items()}
    shared = set.intersection(*map(set, settings.values()))
    groups: dict[str, list[str]] = {}
    for run_id, pairs in settings.items():
        own = " ".join(f"{key}={value}" for key, value in pairs if (key, value) not in shared)
        groups.setdefault(own, []).append(run_id)
    newest = {own: max(started.get(run_id, "") for run_id in ids) for own, ids in groups.items()}
    return {own: groups[own] for own in sorted(groups, key=newest.__getitem__, reverse=True)}

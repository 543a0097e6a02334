"""A sweep's configs, composed once per combination of files and not once per run.

Hydra reads and merges every file anew for each combination, which takes 50 to 100 ms. Most
combinations differ in plain values alone, `model.depth=20` and `model.depth=32`, and Hydra
itself puts those into a composed config last of all. So does `Composer`, into one config per
choice of files. Whatever is more than a plain value of a setting that is there goes to Hydra.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf

# What conf/config.yaml says; where a command says something else, it is looked at each time.
SWEEP_DIR = "${runs_dir}/${experiment_name}"


class Composer:
    """Composes combinations of one sweep, in any order.

    Args:
        loader: Hydra's.
        master: The sweep's own config.
    """

    def __init__(self, loader: ConfigLoader, master: DictConfig) -> None:
        self.loader = loader
        self.master = master
        self.parser = OverridesParser.create(config_loader=loader)
        self._parsed: dict[str, tuple[Override, bool]] = {}
        self._groups: dict[str, bool] = {}
        self._bases: dict[tuple[tuple[str, ...], tuple[str, ...]], DictConfig | None] = {}
        self.loads = 0

    def compose(self, combination: Sequence[str]) -> DictConfig:
        """The config of a combination, as Hydra's `load_sweep_config` has it.

        Returns:
            All settings, with or without the node `hydra`; without it the folder of the sweep
            is the usual one. The next call may change it.
        """
        parsed = [self._parse(text) for text in combination]
        plain = [override for override, simple in parsed if simple]
        rest = [text for text, (_, simple) in zip(combination, parsed, strict=True) if not simple]
        keys = tuple(override.key_or_group for override in plain)
        others = [override for override, simple in parsed if not simple]
        place = (tuple(rest), keys)
        if place not in self._bases:
            self._bases[place] = self._base(rest, keys, others)
        base = self._bases[place]
        if base is None:
            return self._load(combination)
        # Each of these keys is set for each combination, so nothing of the last one is left.
        ConfigLoaderImpl._apply_overrides_to_config(plain, base)
        return base

    def _load(self, combination: Sequence[str]) -> DictConfig:
        self.loads += 1
        return self.loader.load_sweep_config(self.master, list(combination))

    def _parse(self, text: str) -> tuple[Override, bool]:
        """An override, and whether it is a plain value."""
        if text not in self._parsed:
            override = self.parser.parse_override(text)
            value = override.value() if override.type == OverrideType.CHANGE else None
            simple = (
                override.type == OverrideType.CHANGE
                and override.package is None
                and not override.is_hydra_override()
                and (value is None or isinstance(value, bool | int | float | str))
                and not self._is_group(override.key_or_group)
            )
            self._parsed[text] = override, simple
        return self._parsed[text]

    def _is_group(self, key: str) -> bool:
        if key not in self._groups:
            self._groups[key] = bool(self.loader.get_group_options(key, results_filter=None))
        return self._groups[key]

    def _base(
        self, rest: Sequence[str], keys: Sequence[str], others: Sequence[Override]
    ) -> DictConfig | None:
        """The settings to put plain values into; None where that might not be what Hydra does."""
        settings = [o.key_or_group for o in others if not self._is_group(o.key_or_group)]
        groups = [o for o in others if self._is_group(o.key_or_group)]
        if (
            any(_related(key, other) for key in keys for other in settings)
            or any(not isinstance(group.value(), str) for group in groups)
            or OmegaConf.select(self.master, "hydra.searchpath")
            or any(key.startswith("hydra.searchpath") for key in settings)
        ):
            return None
        composed = self._load(rest)
        folder = OmegaConf.to_container(composed.hydra.sweep, resolve=False)
        if not isinstance(folder, dict) or folder.get("dir") != SWEEP_DIR:
            return None
        own = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
        values = OmegaConf.to_container(own, resolve=False)
        return own if all(_is_leaf(values, key) for key in keys) else None


def _related(one: str, other: str) -> bool:
    """Whether one key is the other, or lies within it."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _is_leaf(values: Any, key: str) -> bool:
    """Whether there is a plain value, or a reference to one, at a key such as "model.depth"."""
    for part in key.split("."):
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    return not isinstance(values, dict | list)

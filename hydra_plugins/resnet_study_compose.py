"""Composes a sweep's configs once per choice of files, not once per run.

Hydra reads and merges every file again for each combination, which takes 50 to 100 ms. Most
combinations differ in settings alone, as in `model.depth=20` and `model.depth=32`, which Hydra
puts into the composed config last, in their order. `Composer` does the same with one config for
each choice of files and set of settings; every combination sets all of these settings. Hydra
composes a combination that holds anything else.
"""

import functools
from collections.abc import Sequence
from contextlib import suppress

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException


class Composer:
    """Composes combinations of one sweep, in any order.

    Args:
        loader: Hydra's config loader.
        master: The sweep's own config.
    """

    def __init__(self, loader: ConfigLoader, master: DictConfig) -> None:
        self.loader = loader
        self.master = master
        self._parse = functools.cache(OverridesParser.create(config_loader=loader).parse_override)
        self._is_group = functools.cache(self._has_files)
        self._base = functools.cache(self._compose_base)

    def compose(self, combination: Sequence[str]) -> DictConfig:
        """Composes the config of a combination, as Hydra's `load_sweep_config` does.

        Returns:
            All settings, with or without the node `hydra`. The next call may change them.
        """
        settings = [o for text in combination if self._is_setting(o := self._parse(text))]
        files = tuple(t for t in combination if not self._is_setting(self._parse(t)))
        if (composed := self._base(files, tuple(o.key_or_group for o in settings))) is not None:
            # Hydra reports what is wrong with a setting.
            with suppress(OmegaConfBaseException):
                for override in settings:
                    OmegaConf.update(composed, override.key_or_group, override.value())
                return composed
        return self.loader.load_sweep_config(self.master, list(combination))

    def _is_setting(self, override: Override) -> bool:
        """Whether an override only gives a setting a value."""
        return (
            override.type == OverrideType.CHANGE
            and override.package is None
            and not override.is_hydra_override()
            and not override.is_sweep_override()
            and not isinstance(override.value(), dict)
            and "${hydra:" not in str(override.value())
            # Hydra takes 70 ms to look for a group; the name of a group has no dot.
            and ("." in override.key_or_group or not self._is_group(override.key_or_group))
        )

    def _has_files(self, key: str) -> bool:
        name, overrides = self.master.hydra.job.config_name, self.master.hydra.overrides.hydra
        return bool(self.loader.get_group_options(key, None, name, list(overrides)))

    def _compose_base(self, files: tuple[str, ...], _keys: tuple[str, ...]) -> DictConfig | None:
        """Returns the config to put settings into; None where Hydra might do something else."""
        for override in map(self._parse, files):
            chooses = override.type == OverrideType.CHANGE and isinstance(override.value(), str)
            if not chooses or not self._is_group(override.key_or_group):
                return None
        composed = self.loader.load_sweep_config(self.master, list(files))
        with open_dict(composed):
            del composed["hydra"]
        # A value that refers to Hydra's own settings needs those of its combination.
        return None if "${hydra:" in OmegaConf.to_yaml(composed) else composed

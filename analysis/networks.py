"""Names of networks: the columns kind, shortcut and variant, families and titles."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from resnet_study.config import RunConfig

COLUMNS = ["kind", "shortcut", "variant", "family"]
IDENTITY = ["run_id", "family", "depth", "seed"]
# Kinds and shortcut options, in the order in which families are shown.
USUAL = RunConfig()
ORDER = (("plain", None), ("residual", "A"), ("residual", "B"), ("residual", "C"))


@dataclass(frozen=True)
class Network:
    """A network without its depth.

    Attributes:
        kind: "plain" or "residual".
        shortcut: "A", "B" or "C"; None for plain networks.
        variant: What it differs in from the study's own networks, such as "Xavier"; mostly "".
    """

    kind: str
    shortcut: str | None
    variant: str = ""

    @property
    def family(self) -> str:
        """The value of the column `family`, such as "residual-A" or "plain, Xavier"."""
        name = f"{self.kind}-{self.shortcut}" if self.shortcut else self.kind
        return f"{name}, {self.variant}" if self.variant else name

    @property
    def title(self) -> str:
        """The name for readers, such as "residual A"."""
        return family_title(self.family)


def family_title(family: str) -> str:
    """The name of a family for readers: "residual A" for "residual-A"."""
    return re.sub("^residual-", "residual ", family)


def network_of(config: RunConfig) -> Network:
    """The network of a run."""
    return Network(config.model.kind, config.model.shortcut, variant_of(config))


def variant_of(config: RunConfig) -> str:
    """What a network differs in besides kind, shortcut and depth, in words; "" for nothing."""
    model, start, usual = config.model, config.start, USUAL.model
    rate = config.schedule.learning_rate
    differing = {
        f"span {model.layers_per_block}": model.layers_per_block != usual.layers_per_block,
        f"stride on {model.bottleneck_stride}": model.bottleneck_stride != usual.bottleneck_stride,
        model.init.capitalize(): model.init != usual.init,
        f"no batch norm (rate {rate:g})": model.norm != usual.norm,
        f"colour {config.data.augment.colour:g}": (
            config.data.augment.colour != (0.1 if config.data.streamed else 0.0)
        ),
        f"from {start.depth} layers": start.depth is not None,
        f"from {Path(start.run or '').name}": start.run is not None,
    }
    return ", ".join(words for words, differs in differing.items() if differs)


def add_family(frame: pd.DataFrame) -> pd.DataFrame:
    """Adds the column `family`, unless it is there.

    A family names kind and shortcut, "plain", "residual-A" and so on, and after a comma the
    variant of runs that have one, as in "plain, Xavier".
    """
    if "family" in frame:
        return frame
    codes = frame.groupby(COLUMNS[:3], dropna=False, sort=False).ngroup().to_numpy()
    _, first = np.unique(codes, return_index=True)
    names = np.array([network.family for network in _rows(frame.iloc[first])], dtype=object)
    return frame.assign(family=names[codes] if len(names) else "")


def networks_in(frame: pd.DataFrame) -> list[Network]:
    """The networks of a frame with the columns `kind`, `shortcut` and `variant`.

    Returns:
        Plain first, then by shortcut option; each is followed by its variants.
    """
    found = set(_rows(frame.drop_duplicates(COLUMNS[:3])))
    return sorted(found, key=lambda n: (ORDER.index((n.kind, n.shortcut)), n.family))


def depths_in(frame: pd.DataFrame) -> list[int]:
    """The depths of a frame, in ascending order."""
    return sorted(int(depth) for depth in frame["depth"].unique())


def _rows(frame: pd.DataFrame) -> list[Network]:
    """The network of each row."""
    rows = frame[COLUMNS[:3]].itertuples(index=False)
    return [Network(kind, None if pd.isna(s) else s, variant) for kind, s, variant in rows]


def without_variants(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the study's own networks, without variants such as "plain, Xavier"."""
    return frame[frame["variant"] == ""]

"""The paper's ten claims, one module each; the registry finds the modules."""

import importlib
import pkgutil

from analysis.cells import Cells
from analysis.claims.judging import Ruling, Verdict, judged
from analysis.claims.rules import Claim


def _registered() -> tuple[Claim, ...]:
    """The claims of this package's modules, by number and part."""
    names = [f"{__name__}.{found.name}" for found in pkgutil.iter_modules(__path__)]
    claims = [getattr(importlib.import_module(name), "CLAIM", None) for name in names]
    return tuple(sorted(filter(None, claims), key=lambda claim: (claim.number, claim.part)))


CLAIMS = _registered()


def judge(cells: Cells) -> list[Verdict]:
    """Judges every claim of He et al. 2015, in the order of their numbers."""
    return [verdict for claim in CLAIMS for verdict in judged(claim, cells)]


__all__ = ["CLAIMS", "Claim", "Ruling", "Verdict", "judge"]

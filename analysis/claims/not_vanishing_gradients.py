"""It is probably not vanishing gradients.

Quantity: V, log10 of a ratio: gradient norm times standard deviation of the forward signal, the
smallest over layers divided by that of the last layer.

Testable: the deepest plain network that started was probed at iteration 100 or later.

Supported: at each of these iterations V is at least −2 in all seeds, and so is its 90 % lower
bound; with one seed, V is at least −1.5. A gradient of zero counts as vanished.

Against: at each iteration in the later half of these, V and its 90 % upper bound are below −2;
with one seed, V is below −2.5. Growth before training is reported but not judged.

Paper: with batch norm, backward gradients are reported as healthy, without numbers (§4.1).
"""

from analysis.cells import Cell, Cells
from analysis.claims import rules

# Orders of magnitude below the last layer's gradient at which one has vanished, how far from
# that one seed must be, and the first iteration that counts.
VANISHED, ONE_SEED, FROM = -2.0, 0.5, 100


def rule(cells: Cells, _: str) -> rules.Outcome:
    """Compares V of the deepest plain network that started with its limit."""
    if not any(_looks(cells["plain", depth]) for depth in cells.depths("plain")):
        raise rules.NotRun(f"probes of gradients in plain networks, at iteration {FROM} or later")
    beside = "".join(
        f"; {other.name}, which did not start: V down to {min(lowest):.1f}"
        for other in cells.where(lambda cell: cell.family == "plain").not_started
        if (lowest := [v for at in _looks(other) for v in other.gradients[at].values()])
    )
    if not cells.started("plain"):
        raise rules.NotTestable("; ".join(rules.did_not_start(cells, "plain")) + beside)
    cell = cells["plain", cells.started("plain")[-1]]
    if not _looks(cell):
        raise rules.NotRun(
            f"probes of gradients in {cell.name}, the deepest plain network that started"
        )
    # One seed, with no other measure beside it, has bounds of just this width.
    looks = [
        cell.quantity(f"V at {at}", cell.gradients[at], spread=ONE_SEED / 3) for at in _looks(cell)
    ]
    # With these bounds, 5 % of verdicts at the limit are wrong, however few iterations there are.
    healthy = all(min(v.low(rules.WITHIN), *v.by_seed) >= VANISHED for v in looks)
    later = looks[len(looks) // 2 :]
    gone = all(max(v.high(rules.WITHIN), *v.by_seed) < VANISHED for v in later)
    values = [value for look in looks for value in look.by_seed]
    finding = f"{cell.name}: V from {min(values):.2f} to {max(values):.2f}"
    if cell.growth:
        most = max(cell.growth.values())
        finding += f"; before training, gradients up to 10^{most:.1f} times the last layer's"
    return rules.Outcome(
        rules.leaning(healthy, against=gone),
        finding + beside,
        min(looks, key=lambda look: look.value),
        rests_on=[cell],
        confidence=rules.WITHIN,
        n=min(look.n for look in looks),
        unit="powers of ten",
    )


def _looks(cell: Cell) -> list[int]:
    return sorted(at for at, values in cell.gradients.items() if at >= FROM and values)


CLAIM = rules.Claim(__doc__, 7, rule, experiment="gradients", at_scale="gradients_paper")

"""Claim 7."""

from analysis.cells import Cell, Cells
from analysis.claims.rules import (
    WITHIN,
    Claim,
    Leaning,
    NotRun,
    NotTestable,
    Outcome,
    least_n,
    need_values,
)

# Orders of magnitude by which the smallest gradient may be below the last layer's, how far from
# it one seed must be, and the first iteration that counts.
VANISHED, ONE_SEED, FROM = -2.0, 0.5, 100


def rule(cells: Cells, _: str) -> Outcome:
    """V, the smallest gradient over layers relative to the last layer's, in powers of ten."""
    probed = [d for d in cells.depths("plain") if _looks(cells["plain", d])]
    if not probed:
        raise NotRun(f"probes of gradients in plain networks, at iteration {FROM} or later")
    started = [d for d in cells.started("plain") if d in probed]
    others = [cells["plain", d] for d in probed if d not in started]
    if not started:
        raise NotTestable(f"did not start: {', '.join(cell.name for cell in others)}")
    cell = cells["plain", started[-1]]
    looks = [
        need_values(cell.quantity(f"V at {at}", cell.gradients[at]), "probes of a finished run")
        for at in _looks(cell)
    ]
    values = [value for look in looks for value in look.by_seed]
    last_half = looks[len(looks) // 2 :]
    margin = ONE_SEED if least_n(looks) == 1 else 0.0
    kept = all(v >= VANISHED + margin for v in values)
    lost = all(v < VANISHED - margin for look in last_half for v in look.by_seed)
    if least_n(looks) > 1:
        # So that a verdict at the limit is wrong in 5 % of studies, whatever the number of looks.
        kept &= all(look.low(WITHIN) >= VANISHED for look in looks)
        lost &= all(look.high(WITHIN) < VANISHED for look in last_half)
    finding = f"{cell.name}: V from {min(values):.2f} to {max(values):.2f}"
    if cell.growth:
        finding += f"; before training up to 10^{max(cell.growth.values()):.1f} times the last"
    if others:
        worst = {c.name: min(v for at in _looks(c) for v in c.gradients[at].values()) for c in others}
        listed = ", ".join(f"{name} {value:.1f}" for name, value in worst.items())
        finding += f"; of networks that did not start, V is down to: {listed}"
    return Outcome(
        leaning=Leaning.FOR if kept else Leaning.AGAINST if lost else Leaning.NEITHER,
        finding=finding,
        effect=min(values),
        interval=(min(values), max(values)),
        n=least_n(looks),
        rests_on=[cell],
        unit="orders of magnitude",
    )


def _looks(cell: Cell) -> list[int]:
    return sorted(at for at, values in cell.gradients.items() if at >= FROM and values)


CLAIM = Claim(
    number=7,
    title="It is probably not vanishing gradients.",
    quantity="V, log10 of the smallest over layers of gradient norm times standard deviation of "
    "the forward signal, divided by the same of the last layer; its range over looks and seeds",
    testable="the deepest plain network that started was probed at iteration 100 or later",
    supported="V is at least −2 at all looks and in all seeds, and so is its 90 % lower bound at "
    "each look; with one seed, at least −1.5. A gradient of zero counts as vanished",
    against="V and its 90 % upper bound are below −2 at all of the later half of the looks; with "
    "one seed, below −2.5. Growth before training does not count",
    paper="With batch norm, backward gradients are reported as healthy, without numbers (§4.1).",
    experiment="gradients",
    at_scale="gradients_paper",
    rule=rule,
)

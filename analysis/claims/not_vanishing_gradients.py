"""It is probably not vanishing gradients.

Quantity: V, log10 of the smallest over layers of gradient norm times standard deviation of the
forward signal, divided by the same of the last layer.

Testable: the deepest plain network that started was probed at iteration 100 or later.

Supported: V is at least −2 in all seeds at all of these looks, and so is its 90 % lower bound at
each; with one seed, V is at least −1.5. A gradient of zero counts as vanished.

Against: V and its 90 % upper bound are below −2 at all of the later half of the looks; with one
seed, V is below −2.5. Growth before training does not count.

Paper: with batch norm, backward gradients are reported as healthy, without numbers (§4.1).
"""

from analysis.cells import Cell, Cells
from analysis.claims import rules
from analysis.claims.rules import Claim, Leaning, Outcome

# Orders of magnitude below the last layer's gradient at which one has vanished, how far from
# that one seed must be, and the first iteration that counts.
VANISHED, ONE_SEED, FROM = -2.0, 0.5, 100


def rule(cells: Cells, _: str) -> Outcome:
    """Compares V of the deepest plain network that started with its limit."""
    probed = cells.where(_looks)
    what = f"probes of gradients in plain networks, at iteration {FROM} or later"
    cell = cells["plain", rules.need_started(probed, ["plain"], 1, what)[-1]]
    # One seed, with no other measure beside it, has bounds of just this width.
    looks = [
        cell.quantity(f"V at {at}", cell.gradients[at], spread=ONE_SEED / 3) for at in _looks(cell)
    ]
    leaning = Leaning.NEITHER
    # The bounds hold a verdict at the limit wrong in 5 % of studies, however few the looks.
    if all(min(v.low(rules.WITHIN), *v.by_seed) >= VANISHED for v in looks):
        leaning = Leaning.FOR
    elif all(max(v.high(rules.WITHIN), *v.by_seed) < VANISHED for v in looks[len(looks) // 2 :]):
        leaning = Leaning.AGAINST
    values = [value for look in looks for value in look.by_seed]
    finding = f"{cell.name}: V from {min(values):.2f} to {max(values):.2f}"
    if cell.growth:
        finding += (
            f"; before training up to 10^{max(cell.growth.values()):.1f} times the last layer"
        )
    for other in probed.where(lambda each: each.family == "plain").not_started:
        lowest = min(min(other.gradients[at].values()) for at in _looks(other))
        finding += f"; {other.name}, which did not start: down to {lowest:.1f}"
    return Outcome(
        leaning,
        finding,
        min(looks, key=lambda look: look.value),
        rests_on=[cell],
        confidence=rules.WITHIN,
        unit="powers of ten",
    )


def _looks(cell: Cell) -> list[int]:
    return sorted(at for at, values in cell.gradients.items() if at >= FROM and values)


CLAIM = Claim(__doc__, 7, rule, experiment="gradients", at_scale="gradients_paper")

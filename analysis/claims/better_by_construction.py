"""Claim 3."""

from analysis.cells import Cell, Cells
from analysis.claims.rules import Claim, Leaning, NotRun, NotTestable, Outcome, need_values, shown

# Points of clean training error by which a construction may differ from what it is made of.
SAME = 0.1


def rule(cells: Cells, _: str) -> Outcome:
    """Clean training error from scratch minus that of a construction, at one depth."""
    constructed, shallow, scratch = _compared(cells)
    made = constructed.quantity("untrained", constructed.untrained)
    source = shallow.quantity("evaluated", shallow.evaluated)
    need_values(made - source, "the shallow network that was deepened, with the same seed")
    apart = float(abs((made - source).by_seed).max())
    if apart > SAME:
        raise NotTestable(
            f"the construction is no identity: {apart:.2f} points from the shallow network"
        )
    if dict(shallow.iterations) != dict(scratch.iterations):
        raise NotTestable("the shallow network and that from scratch have unequal iterations")
    # The construction's error is the shallow network's, and so is its spread.
    spread = shallow.spread.get("clean_train_error", float("nan"))
    made = constructed.quantity("untrained", constructed.untrained, spread=spread)
    effect = need_values(
        scratch.error("clean_train_error") - made, "the same depth from scratch, with the same seed"
    )
    low, high = effect.bounds()
    leaning = Leaning.FOR if low > 0 else Leaning.AGAINST if high < 0 else Leaning.NEITHER
    return Outcome(
        leaning=leaning,
        finding=f"plain networks of {scratch.depth} layers, clean training error: {made.value:.1f} "
        f"% made of a trained network of {shallow.depth} layers, "
        f"{scratch.error('clean_train_error').value:.1f} % from scratch, {shown(effect)}",
        effect=effect.value,
        interval=effect.bounds(),
        n=effect.n,
        rests_on=[shallow, scratch],
    )


def _compared(cells: Cells) -> tuple[Cell, Cell, Cell]:
    """The deepest construction, its shallow network and its depth from scratch."""
    pairs = [
        (deep, shallow)
        for shallow in cells.depths("plain")
        for deep in cells.depths("plain", f"plain, from {shallow} layers")
    ]
    if not pairs:
        raise NotRun("a trained plain network made deeper by identity layers")
    started = cells.started("plain")
    usable = [pair for pair in pairs if set(pair) <= set(started)]
    if not usable:
        names = [cells["plain", d].name for d in sorted({*sum(pairs, ())}) if d not in started]
        raise NotTestable(f"did not start: {', '.join(names)}")
    deep, shallow = max(usable)
    made = cells[f"plain, from {shallow} layers", deep]
    return made, cells["plain", shallow], cells["plain", deep]


CLAIM = Claim(
    number=3,
    title="A better solution exists by construction, and training from scratch does not find it.",
    quantity="clean training error of a plain network trained from scratch minus that of the same "
    "depth made of a trained shallow network and identity layers, in points",
    testable="the plain network started at that depth, and every construction is within 0.1 "
    "points of its shallow network",
    supported="the 95 % lower bound is above 0 after equal numbers of iterations",
    against="the 95 % upper bound is below 0",
    paper="An argument without a measurement: added identity layers would give the shallow "
    "network's error (§1).",
    experiment="identity",
    at_scale="identity_paper",
    rule=rule,
)

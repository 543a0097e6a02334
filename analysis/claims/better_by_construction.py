"""A better solution exists by construction, and training from scratch does not find it.

Quantity: clean training error of a plain network trained from scratch minus that of a network of
the same depth built from a trained shallow network and identity layers, in points.

Testable: the plain network started at that depth, and every construction is within 0.1 points of
its shallow network.

Supported: the 95 % lower bound is above 0, after equal numbers of iterations.

Against: the 95 % upper bound is below 0.

Paper: an argument without a measurement: added identity layers would give the shallow network's
error (§1).
"""

from analysis.cells import Cells
from analysis.claims import rules

# Points of clean training error by which a construction may differ from its shallow network.
SAME = 0.1


def rule(cells: Cells, _: str) -> rules.Outcome:
    """Compares the deepest construction with the same depth trained from scratch."""
    pairs = [
        (deep, shallow)
        for shallow in cells.depths("plain")
        for deep in cells.depths("plain", f"plain, from {shallow} layers")
    ]
    if not pairs:
        raise rules.NotRun("a trained plain network made deeper by identity layers")
    usable = [pair for pair in pairs if {*pair} <= {*cells.started("plain")}]
    if not usable:
        raise rules.NotTestable("; ".join(rules.did_not_start(cells, "plain")))
    depth, start = max(usable)
    built, shallow = cells[f"plain, from {start} layers", depth], cells["plain", start]
    scratch = cells["plain", depth]
    # The construction's error is the shallow network's, and so is its spread.
    spread = shallow.spread.get("clean_train_error", float("nan"))
    made = built.quantity("untrained", built.untrained, spread=spread)
    apart = made - shallow.quantity("evaluated", shallow.evaluated)
    effect = scratch.error("clean_train_error") - made
    rules.need_seeds([apart, effect])
    if (most := float(abs(apart.by_seed).max())) > SAME:
        raise rules.NotTestable(f"the construction is {most:.2f} points from its shallow network")
    shared = {*shallow.iterations} & {*scratch.iterations}
    if any(shallow.iterations[seed] != scratch.iterations[seed] for seed in shared):
        raise rules.NotTestable("the shallow network and the one from scratch differ in iterations")
    return rules.Outcome(
        rules.sign(effect),
        f"plain networks of {scratch.depth} layers, clean training error: {made.value:.1f} % if "
        f"built from a trained network of {shallow.depth} layers, "
        f"{scratch.error('clean_train_error').value:.1f} % if trained from scratch: {effect}",
        effect,
        rests_on=[built, shallow, scratch],
    )


CLAIM = rules.Claim(__doc__, 3, rule, experiment="identity", at_scale="identity_paper")

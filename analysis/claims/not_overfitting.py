"""It is not over-fitting: the test error rises with the training error.

Quantity: the changes in the training error and test error of plain networks, and in their gap (test
minus clean training error), from the smallest to the greatest depth that started, in points.

Testable: plain networks started at two depths.

Supported: the 95 % lower bounds of both errors' changes are above 0, and the 90 % upper bound of
the gap's change minus half of the test error's is below 0.

Against: the change of the test error is above 0 while that of the training error is equivalent to 0
within 0.5 points (90 % interval).

Paper: from 20 to 56 layers test error rises from 9.7 to 13.2 %, training error from 1.3 to 5.7 %
(Figure 6).
"""

from analysis.cells import Cells
from analysis.claims import rules


def rule(cells: Cells, _: str) -> rules.Outcome:
    """Compares the changes of training error, test error and gap with depth."""
    depths = rules.need_started(cells, ["plain"], 2, "plain networks at two depths")
    shallow, deep = cells["plain", depths[0]], cells["plain", depths[-1]]
    train, test = deep.train - shallow.train, deep.test - shallow.test
    gap = deep.error("gap") - shallow.error("gap")
    excess = gap - 0.5 * test
    rules.need_seeds([train, test, excess])
    rises = test.low() > 0
    with_training = train.low() > 0 and excess.high(rules.WITHIN) < 0
    return rules.Outcome(
        rules.leaning(rises and with_training, against=rises and rules.equivalent(train)),
        f"plain networks, from {depths[0]} to {depths[-1]} layers: test error {test}, training "
        f"error {train}, gap between test and clean training error {gap}",
        test,
        rests_on=[shallow, deep],
        # Over-fitting would not raise the training error, and that rise may still come.
        closing=train,
        towards=+1,
    )


CLAIM = rules.Claim(__doc__, 2, rule)

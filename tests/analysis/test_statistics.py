"""Statistics against numbers worked by hand and against scipy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import statistics
from analysis.verdict import CHOSEN, summary, verdict
from tests.analysis.made import study


@pytest.fixture(scope="module")
def runs():
    """Runs of twenty rows, which are evaluated in the last one alone."""
    ends = {
        ("plain", 20): ([40, 42], [44, 44]),
        ("plain", 110): ([88, 90], [90, 92]),
        ("residual-A", 20): ([12, 14],),
        ("residual-A", 110): ([20, 22],),
    }
    runs = study({cell: [[90.0] * 18 + end for end in seeds] for cell, seeds in ends.items()}, -1)
    runs.loc[runs["iteration"] < 200, ["clean_train_error", "test_error"]] = np.nan
    return runs


@pytest.fixture(scope="module")
def finals(runs):
    return statistics.final_errors(runs)


def test_a_final_value_is_the_mean_of_the_last_tenth_and_only_of_finished_runs(runs, finals):
    assert set(finals["family"]) == {"plain", "residual-A"}
    plain = finals[(finals["family"] == "plain") & (finals["depth"] == 20)]
    assert plain["train_error"].tolist() == [41, 44]
    assert plain["clean_train_error"].tolist() == [41, 43]
    assert plain["test_error"].tolist() == [43, 45]
    assert len(finals) == 6
    # It is never the best one.
    curve = study({("plain", 20): [[50.0] * 10 + [1.0] + [50.0] * 9]})
    assert statistics.final_errors(curve)["train_error"].tolist() == [50]
    for state in ("running", "failed", "diverged"):
        more = pd.concat([runs, study({("plain", 56): [1.0]}, state=state)])
        assert 56 not in set(statistics.final_errors(more)["depth"])
    cells = statistics.by_cell(finals).set_index(["family", "depth"])
    cell = cells.loc[("plain", 20)]
    assert (cell["mean"], cell["n"]) == (42.5, 2)
    assert cell["std"] == pytest.approx(np.std([41, 44], ddof=1))
    assert np.isnan(cells.loc[("residual-A", 20)]["std"])


def test_degradation_is_deepest_minus_shallowest_seed_by_seed(finals):
    plain, residual = statistics.degradation(finals).to_dict("records")
    # Seed 0: 89 - 41 = 48; seed 1: 91 - 44 = 47.
    assert (plain["family"], plain["degradation"], plain["n"]) == ("plain", 47.5, 2)
    expected = stats.t.interval(0.95, 1, 47.5, stats.sem([48, 47]))
    assert (plain["low"], plain["high"]) == pytest.approx(expected)
    assert residual["degradation"] == 8
    assert np.isnan(residual["low"])
    # A seed without its pair is not compared, and one depth has no degradation.
    paired = finals[~((finals["depth"] == 110) & (finals["seed"] == 1))]
    assert statistics.degradation(paired)["degradation"].tolist() == [48, 8]
    assert statistics.degradation(finals[finals["depth"] == 20]).empty


def test_studies_and_families_are_compared_cell_by_cell_and_seed_by_seed(finals):
    better = finals.assign(train_error=finals["train_error"] - 3)
    table = statistics.study_difference(better[better["depth"] == 20], finals)
    columns = ["depth", "difference", "n"]
    assert table[columns].to_numpy().tolist() == [[20, -3, 2], [20, -3, 1]]
    # Seed 0 alone has both: 13 - 41 at 20 layers, 21 - 89 at 110.
    table = statistics.family_difference(finals, "residual-A", "plain")
    assert table[columns].to_numpy().tolist() == [[20, -28, 1], [110, -68, 1]]
    assert table["low"].isna().all()
    assert statistics.family_difference(finals, "residual-B", "plain").empty


def test_the_verdict_says_depths_errors_and_points_of_networks_that_started(runs):
    found = verdict(runs)
    assert found["format"] == 2
    assert found["families"]["plain"]["training"]["errors"] == [42.5, 90]
    assert summary(found)[0] == (
        "On embedded shapes, from 20 to 110 layers: +47.5 points of training error for plain "
        "networks (42.5 → 90.0 %) and +8.0 points for residual A networks (13.0 → 21.0 %)."
    )
    deeper = study({("plain", 1202): [[90.0] * 20]}, started=False)
    failed = study({("plain", 56): [7.0]}, state="failed", started=True)
    more = pd.concat([runs.assign(started=True), deeper, failed])
    found = verdict(more)
    assert found["answer"].startswith("On embedded shapes, from 20 to 110 layers: +47.5 points")
    assert found["remarks"] == [
        "Did not start (training loss at chance): plain at 1202 layers.",
        "Not finished (failed): plain at 56 layers.",
    ]
    assert summary(found)[1:3] == found["remarks"]
    chosen = verdict(more.assign(schedule="quick"))
    assert chosen["remarks"] == [*found["remarks"], CHOSEN]
    assert found["not_started"] == [
        {"family": "plain", "depth": 56, "seeds": {0: "failed"}},
        {"family": "plain", "depth": 1202, "seeds": {0: "at chance"}},
    ]
    answer = verdict(runs[runs["depth"] == 20])["answer"]
    assert (
        answer
        == "On embedded shapes, no family started at two depths, so depth cannot be compared."
    )


def test_variants_do_not_count_as_the_study_itself(runs):
    """Xavier's plain networks must not enter the degradation of He's."""
    other = study({("plain", 20): [1, 1], ("plain", 110): [1, 1]}, variant="Xavier")
    both = pd.concat([runs, other.assign(run_id="x-" + other["run_id"])])
    assert verdict(both)["answer"] == verdict(runs)["answer"]
    effects = [[claim["effect"] for claim in verdict(each)["claims"]] for each in (both, runs)]
    assert effects[0] == effects[1]


def test_no_row_before_the_last_fall_of_the_rate_is_part_of_the_end():
    curve = study({("plain", 20): [[9.0] * 10 + [5.0] * 9 + [3.0]]}, phase=0)
    fell = curve.assign(phase=(curve["iteration"] > 190).astype(int))
    ends = [statistics.final_errors(each)["train_error"].tolist() for each in (curve, fell)]
    assert ends == [[4.0], [3.0]]
    # The end of the first phase is its last tenth; a rate that never falls has none.
    assert statistics.first_phase_errors(fell)["train_error"].tolist() == [5.0]
    assert statistics.first_phase_errors(curve).empty


def test_trend_equals_kendalls_tau_by_hand():
    """Three depths in order: all three pairs agree; one swap: two agree, one does not."""
    errors, depths = {"plain": (10, 20, 30), "residual-A": (10, 30, 20)}, (20, 56, 110)
    cells = {(name, d): [errors[name][i]] for name in errors for i, d in enumerate(depths)}
    trend = statistics.degradation(statistics.final_errors(study(cells))).set_index("family")
    assert trend["tau"].to_dict() == pytest.approx({"plain": 1, "residual-A": (2 - 1) / 3})
    assert trend.loc["plain", "p_value"] == stats.kendalltau(depths, errors["plain"]).pvalue


def test_iterations_to_reach_lie_between_the_row_above_and_the_first_at_or_below():
    curve = study({("plain", 20): [[90.0, 80.0, 50.0, 60.0, 40.0]]})
    reached = statistics.iterations_to_reach(curve, (95.0, 80.0, 56.0, 10.0))["iterations"].tolist()
    assert reached == pytest.approx([10, 20, 28, np.nan], nan_ok=True)

"""Tables, from recorded runs."""

import shutil

import numpy as np
import pandas as pd
import pytest

from analysis import readme, tables
from analysis.load import read_study
from analysis.paper import figure6_curves
from analysis.statistics import by_cell, degradation, final_errors
from tests.analysis.made import change


@pytest.fixture(scope="module")
def finals(runs):
    return final_errors(runs)


def test_tables_hold_the_means(finals):
    table = tables.results(finals)
    cell = finals[(finals["family"] == "plain") & (finals["depth"] == 8)]
    row = table.set_index(["family", "depth"]).loc[("plain", 8)]
    assert row["test_error"] == pytest.approx(cell["test_error"].mean())
    assert row["test_error_std"] == pytest.approx(cell["test_error"].std())
    lines = tables.markdown(table).splitlines()
    assert len(lines) == 2 + 6
    assert lines[2].startswith("| plain | 8 | 2 | ")
    assert f"{cell['train_error'].mean():.2f} ± " in lines[2]


def test_the_papers_numbers_stand_only_beside_its_own_protocol(finals):
    assert "paper_test_error" not in tables.results(finals)
    deep = finals.assign(depth=finals["depth"].map({8: 20, 14: 110}))
    table = tables.results(deep, protocol_of_the_paper=True).set_index(["family", "depth"])
    test, nan = table["paper_test_error"], np.nan
    assert test["residual-A"].to_dict() == {20: 8.75, 110: 6.61}
    # The plain networks' are from Figure 6, which ends plain-20 at 9.69 and 1.30 %.
    assert test["plain"].tolist() == pytest.approx([9.69, nan], abs=0.1, nan_ok=True)
    assert table.loc[("plain", 20), "paper_train_error"] == pytest.approx(1.30, abs=0.1)
    assert test["residual-B"].isna().all()


def test_several_studies_stand_in_one_table_and_the_paper_only_below_its_own_data(runs, finals):
    table = readme.overview([runs, figure6_curves()])
    names = ["data", "network", "error", "seeds"]
    cells = table.set_index(names)[["8 layers", "110 layers"]].sort_index()
    cell = by_cell(finals, "test_error").iloc[0]
    ours = f"{cell['mean']:.2f} ± {cell['std']:.2f}"
    assert cells.loc[("embedded shapes", "plain", "test", "2")].tolist() == [f"{ours} †", "–"]
    published = cells.loc[("CIFAR-10", "residual A", "test", "the paper")]
    assert published.tolist() == ["–", "6.61"]
    assert set(table[table["data"] != "CIFAR-10"]["seeds"]) == {"2"}
    # These are at chance.
    begun = readme.overview([runs.assign(started=True)]).set_index("network")["8 layers"]
    assert begun["plain"].tolist()[1] == ours
    assert len(tables.text_as_markdown(table, left=5).splitlines()) == len(table) + 2


def test_rates_are_compared_by_their_means_and_one_that_diverged_has_none(folder):
    """Seeds 0 of two families, as if they had been trained at two rates."""
    for run in folder.iterdir():
        config = (run / "config.yaml").read_text()
        if "-014-" in run.name or "residual-B" in run.name:
            shutil.rmtree(run)
        elif "-s1-" in run.name:
            faster = config.replace("learning_rate: 0.05", "learning_rate: 0.2", 1)
            (run / "config.yaml").write_text(faster)
    study = read_study(folder)
    table = readme.rates(study).set_index("learning rate")
    ends = final_errors(study.runs).set_index(["family", "seed"])["test_error"]
    assert table.loc["0.05", "plain 8"] == f"{ends['plain', 0]:.2f}"
    assert table["mean"].to_dict() == {
        rate: f"{ends[:, seed].mean():.2f}" for seed, rate in enumerate(("0.05", "0.2"))
    }
    change(next(folder.glob("plain-*-s1-*")), state="diverged")
    *_, last = readme.rates(read_study(folder)).to_numpy().tolist()
    assert last == ["0.2", "–", f"{ends['residual-A', 1]:.2f}", "–"]


def test_degradation_and_differences_are_tables_for_readers(finals):
    # These short runs did not start.
    assert tables.changes(finals).empty
    finals = finals.assign(started=True)
    table = tables.changes(finals)
    assert len(table) == 6
    plain = table[(table["family"] == "plain") & (table["error"] == "training")].iloc[0]
    expected = degradation(finals).set_index("family").loc["plain"]
    assert plain["difference"] == expected["degradation"]
    shown = set(tables.readable(table)["95 % interval"])
    assert f"{expected['low']:+.2f} to {expected['high']:+.2f}" in shown
    one_seed = tables.readable(tables.changes(finals[finals["seed"] == 0]))
    assert set(one_seed["95 % interval"]) == {"one seed: no interval"}
    pairs = tables.differences(finals)["comparison"].value_counts()
    names = ("residual A minus plain", "residual B minus plain", "residual B minus residual A")
    assert pairs.to_dict() == dict.fromkeys(names, 4)


def test_latex_is_a_booktabs_table_and_escapes_whatever_a_label_holds(finals):
    text = tables.latex(tables.results(finals), "100 % of a_b.")
    parts = (r"\toprule", r"\bottomrule", r"$\pm$", r"training error (\%)", r"100 \% of a\_b.")
    assert all(part in text for part in parts)
    rows = [line for line in text.splitlines() if line.strip().endswith(r"\\")]
    assert len(rows) == 7
    assert len({line.count("&") for line in rows}) == 1
    table = pd.DataFrame({"comparison": ["a_b minus c^d"], "difference": [1.0]})
    text = tables.latex(table, r"50 % of $x \ {y} ~z")
    assert r"a\_b minus c\textasciicircum{}d" in text
    assert r"50 \% of \$x \textbackslash{} \{y\} \textasciitilde{}z" in text

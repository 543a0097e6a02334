"""The README's numbers are those of the recorded runs, and its commands exist."""

import re

import pytest

from analysis.networks import add_family
from analysis.readme import PART, filled, recorded
from analysis.statistics import final_errors, study_difference
from tests.conftest import CHECKOUT

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "page", ["README.md", "runs/README.md", "docs/verdicts.md", "docs/fidelity.md"]
)
def test_numbers_and_verdicts_are_those_of_the_recorded_runs(page):
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    assert filled(text) == text, "python -m analysis.readme makes it anew"


def test_each_number_of_the_study_is_in_a_marked_part():
    marks = re.findall(r"<!-- (\w+)(?: [\w-]+)?: ", README)
    claims = ["claim"] * 7
    assert marks == ["answer", "overview", "figure6", "verdicts", *claims, "benchmark"]
    assert len(list(PART.finditer(README))) == len(marks)


@pytest.mark.parametrize("kind", ["answer", "overview", "figure6", "verdicts", "claim 3"])
def test_a_part_that_says_something_else_is_found(kind):
    part = next(p for p in PART.finditer(README) if p[0].startswith(f"<!-- {kind}:"))
    wrong = re.sub(r"\d", lambda digit: str((int(digit[0]) + 1) % 10), part[5], count=1)
    assert wrong != part[5]
    assert filled(part[0].replace(part[5], wrong)) == part[0]


def test_prose_below_a_mark_is_not_taken_for_a_part():
    mark = "<!-- claim 3: runs/recorded/identity -->\n"
    with pytest.raises(ValueError, match="is not its own"):
        filled(f"{mark}\nSome prose.\n")
    with pytest.raises(ValueError, match="is not its own"):
        filled(mark.replace("claim", "clam") + "- Claim\n")


def test_bf16_agrees_with_fp32_as_the_readme_says():
    fp32, bf16 = (add_family(final_errors(recorded(name).runs)) for name in ("quick", "bf16"))
    words = " ".join(README.split())
    intervals = {"train_error": "intervals of the difference in training error"}
    for error, named in (intervals | {"test_error": "in test error"}).items():
        found = study_difference(bf16, fp32, error)
        apart = int(((found["low"] > 0) | (found["high"] < 0)).sum())
        assert f"{apart} of {len(found)} {named}" in words


def test_pictures_and_pages_are_there():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (CHECKOUT / target).exists(), target


def test_commands_compose(composed):
    commands = re.findall(r"python -m resnet_study (.*)", README)
    assert len(commands) >= 4
    for command in commands:
        words = [w.split("`")[0] for w in re.findall(r"(?:[^\s\"]|\"[^\"]*\")+", command)]
        overrides = [re.sub(r"=([^,\[\"]+),.*", r"=\1", w) for w in words if "=" in w]
        assert composed(*overrides).run_id


def test_make_targets_exist():
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([\w-]+):", makefile, flags=re.MULTILINE)
    assert {*re.findall(r"^make ([\w-]+)", README, flags=re.MULTILINE)} <= {*targets}


def test_the_notebook_example_runs_as_it_stands(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    (tmp_path / "runs").symlink_to(CHECKOUT / "runs")
    monkeypatch.chdir(tmp_path)
    exec(code, names := {})
    assert (tmp_path / "shallow.pdf").read_bytes().startswith(b"%PDF")
    assert set(names["shallow"]["depth"]) == {20, 32, 44, 56}

"""The README's numbers are those of the recorded runs, and its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from analysis.load import load_runs
from analysis.statistics import add_family, final_errors, study_difference
from resnet_study.__main__ import CONF, to_run_config
from tests.readme import PART, filled

CHECKOUT = Path(__file__).resolve().parent.parent
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["README.md", "runs/README.md"])
def test_numbers_and_verdicts_are_those_of_the_recorded_runs(page):
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    assert filled(text) == text, "python -m tests.readme makes it anew"


def marks(page: str) -> list[str]:
    return re.findall(r"<!-- (\w+(?: \d+)?): ", page)


def test_each_number_of_the_study_is_in_a_marked_part():
    assert marks(README) == [
        "answer", "overview", "rates", "verdicts", "claim 3", "claim 7", "claim 8", "claim 9",
        "claim 3", "claim 6", "claim 7", "claim 8", "claim 9", "claim 10", "trial",
        "benchmark",
    ]  # fmt: skip
    assert len(list(PART.finditer(README))) == len(marks(README))


@pytest.mark.parametrize("kind", ["answer", "overview", "rates", "verdicts", "claim 3"])
def test_a_part_that_says_something_else_is_found(kind):
    start, end = next(
        part.span(5) for part in PART.finditer(README) if part[0].startswith(f"<!-- {kind}:")
    )
    digit = re.compile(r"\d").search(README, start, end).start()
    wrong = README[:digit] + str((int(README[digit]) + 1) % 10) + README[digit + 1 :]
    assert filled(wrong) == README


def test_prose_below_a_mark_is_not_taken_for_a_part():
    mark = "<!-- claim 3: runs/recorded/identity -->\n"
    with pytest.raises(ValueError, match="is not its own"):
        filled(f"{mark}\nSome prose.\n")
    with pytest.raises(ValueError, match="is not its own"):
        filled(mark.replace("claim", "clam") + "- Claim\n")


def test_bf16_agrees_with_fp32_as_the_readme_says():
    fp32, bf16 = (
        add_family(final_errors(load_runs(CHECKOUT / "runs" / "recorded" / name)))
        for name in ("quick", "bf16")
    )
    for error, name in (("train_error", "training"), ("test_error", "test")):
        found = study_difference(bf16, fp32, error)
        apart = int(((found["low"] > 0) | (found["high"] < 0)).sum())
        words = re.sub(r"\s+", " ", README)
        if name == "training":
            assert f"{apart} of {len(found)} intervals of the difference in training error" in words
        else:
            assert f"{apart} of {len(found)} in test error" in words


def test_pictures_and_pages_are_there():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (CHECKOUT / target).exists(), target


def test_commands_compose():
    commands = re.findall(r"python -m resnet_study (.*)", README)
    assert len(commands) >= 4
    for command in commands:
        words = [w.split("`")[0] for w in re.findall(r"(?:[^\s\"]|\"[^\"]*\")+", command)]
        overrides = [re.sub(r"=([^,\[\"]+),.*", r"=\1", w) for w in words if "=" in w]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            assert to_run_config(compose("config", overrides)).run_id


def test_make_targets_exist():
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_the_notebook_example_runs_as_it_stands(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    (tmp_path / "runs").symlink_to(CHECKOUT / "runs")
    monkeypatch.chdir(tmp_path)
    exec(code, names := {})
    assert (tmp_path / "shallow.pdf").read_bytes().startswith(b"%PDF")
    assert set(names["shallow"]["depth"]) == {20, 32, 44, 56}

"""What README.md and docs/ say: their numbers are the records', their commands and links work."""

import importlib.util
import re
import shlex

import pytest

from analysis.__main__ import main as analysis_main
from analysis.readme import PAGES, PART, filled
from tests.conftest import CHECKOUT

PAGES = {str(path.relative_to(CHECKOUT)): path.read_text("utf-8") for path in PAGES}
CONTRIBUTING = (CHECKOUT / "CONTRIBUTING.md").read_text("utf-8")
README = PAGES["README.md"]
TEXTS = [*PAGES.values(), CONTRIBUTING]
# In blocks a line, and in sentences what stands between backticks, without placeholders.
COMMAND = r"(?:\.venv/bin/)?(?:python -m|torchrun|pip install|jupyter|make) "
LINES = re.findall(rf"^{COMMAND}.*?(?= *#| *$)", "\n".join(TEXTS), flags=re.MULTILINE)
INLINE = re.findall(rf"`({COMMAND}[^`]*)`", "\n".join(TEXTS))
INLINE = [words for words in INLINE if not re.search(r"[A-Z]{2}", words)]
# With launchers and sweepers of others, which `.ci/hydra14` tries.
OTHERS = ("hydra/launcher=ray", "hydra/sweeper=optuna", "pip install --pre")
# What `make dist` runs from the source distribution.
CHECKED = (CHECKOUT / ".ci" / "dist").read_text("utf-8").replace("\\\n", "")
CHECKED = re.findall(r'^quietly "\$tried" -m (.*)', CHECKED, flags=re.MULTILINE)
COMMANDS = [
    c for c in sorted({*LINES, *INLINE, *CHECKED}) if not any(words in c for words in OTHERS)
]


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150
    assert len(CONTRIBUTING.splitlines()) <= 200


@pytest.mark.parametrize("page", PAGES)
def test_numbers_and_verdicts_are_those_of_the_recorded_runs(page):
    assert filled(PAGES[page]) == PAGES[page], "python -m analysis.readme makes it anew"


def test_each_number_of_the_study_is_in_a_marked_part():
    marks = {page: re.findall(r"<!-- (\w+)(?: [\w-]+)?: ", text) for page, text in PAGES.items()}
    assert marks["README.md"] == ["answer", "overview", "verdicts"]
    assert marks["docs/experiments.md"] == ["claim"] * 8
    assert marks["docs/fidelity.md"] == ["figure6", "statistics", "trials", "rates"]
    for page, text in PAGES.items():
        assert len(list(PART.finditer(text))) == len(marks[page])


@pytest.mark.parametrize("kind", ["answer", "overview", "figure6", "verdicts", "claim 3"])
def test_a_part_that_says_something_else_is_found(kind):
    text = "\n".join(PAGES.values())
    part = next(p for p in PART.finditer(text) if p[0].startswith(f"<!-- {kind}:"))
    wrong = re.sub(r"\d", lambda digit: str((int(digit[0]) + 1) % 10), part[5], count=1)
    assert wrong != part[5]
    assert filled(part[0].replace(part[5], wrong)) == part[0]


def test_prose_below_a_mark_is_not_taken_for_a_part():
    mark = "<!-- claim 3: runs/recorded/identity -->\n"
    with pytest.raises(ValueError, match="is not its own"):
        filled(f"{mark}\nSome prose.\n")
    with pytest.raises(ValueError, match="is not its own"):
        filled(mark.replace("claim", "clam") + "- Claim\n")


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md"])
def test_links_lead_somewhere(page):
    text = PAGES.get(page, CONTRIBUTING)
    for target in re.findall(r"\]\((?!http)([^)]+)\)", text):
        name, _, heading = target.partition("#")
        path = (CHECKOUT / page).parent / name if name else CHECKOUT / page
        assert path.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)", path.read_text("utf-8"), flags=re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", t).lower().replace(" ", "-") for t in titles}
            assert heading in slugs, target


def test_every_page_is_reached_from_the_readme():
    reached = re.findall(r"\((docs/[\w]+\.md)\)", README + CONTRIBUTING)
    assert {page for page in PAGES if page.startswith("docs/")} == set(reached)


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_are_understood(line, composed, monkeypatch, tmp_path, capsys):
    """A sweep by its first run, an analysis by the folder that it does not find."""
    words = shlex.split(line)
    module = next((w for w in words if w.startswith(("resnet_study", "analysis", "tests."))), None)
    rest = words[words.index(module) + 1 :] if module else words[1:]
    if module == "analysis":
        monkeypatch.chdir(tmp_path)
        assert analysis_main(rest) == 2
        assert f"{rest[0]}: " in capsys.readouterr().err
    elif module in ("resnet_study", "resnet_study.plan", "resnet_study.evaluate"):
        # The commands' own words, beside the settings of a run.
        settings = [w for w in rest if "=" in w and not w.startswith(("weights=", "launcher="))]
        firsts = [re.sub(r"=([^,\[\"(]+),.*", r"=\1", word) for word in settings]
        assert composed(*firsts).run_id
    elif module:
        assert importlib.util.find_spec(module)
    elif words[0] == "make":
        assert re.search(rf"^{rest[0]}:", (CHECKOUT / "Makefile").read_text("utf-8"), re.MULTILINE)
    elif words[0].endswith("jupyter"):
        assert (CHECKOUT / rest[-1]).exists()
    else:
        (extra,) = re.findall(r"\[(\w+)\]", line)
        assert f"\n{extra} = [" in (CHECKOUT / "pyproject.toml").read_text("utf-8")


def test_the_notebook_example_runs_as_it_stands(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", PAGES["docs/report.md"], flags=re.DOTALL)
    (tmp_path / "runs").symlink_to(CHECKOUT / "runs")
    monkeypatch.chdir(tmp_path)
    exec(code, names := {})
    assert (tmp_path / "shallow.pdf").read_bytes().startswith(b"%PDF")
    assert set(names["shallow"]["depth"]) == {20, 32, 44, 56}
    assert set(names["shallow"]["kind"]) == {"plain", "residual"}

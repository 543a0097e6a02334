"""The notebook docs/tour.ipynb: valid, small, with the figures that a reader on GitHub sees.

After a change of the notebook or of the records, run it anew, which keeps it as it is tested here:
`.venv/bin/jupyter execute --inplace docs/tour.ipynb`.
"""

import re
import subprocess
import sys
from importlib import metadata

import nbformat
import pytest

from tests.conftest import CHECKOUT

FILE = CHECKOUT / "docs" / "tour.ipynb"
TOUR = nbformat.read(FILE, as_version=4)
CODE = [cell for cell in TOUR.cells if cell.cell_type == "code"]
TEXT = "\n".join(cell.source for cell in TOUR.cells if cell.cell_type == "markdown")
SET_UP = CODE[0].source
# Outputs that are the records' alone: each machine trains and rounds in its own way.
RECORDED = [cell.id for cell in CODE if "varies" not in cell.metadata.get("tags", ())]


def texts(cell):
    """What a cell printed, and the tables and other values that it showed, without pictures."""
    shown = [output.get("text") or output["data"]["text/plain"] for output in cell.outputs]
    return [text for text in shown if not text.startswith("<Figure")]


def pictures(cell):
    return sum("image/png" in output.get("data", {}) for output in cell.outputs)


def test_it_is_a_small_notebook_that_was_run_from_top_to_bottom():
    nbformat.validate(TOUR)
    assert FILE.stat().st_size < 300_000
    assert [cell.execution_count for cell in CODE] == [*range(1, len(CODE) + 1)]
    kinds = {output.output_type for cell in CODE for output in cell.outputs}
    assert kinds == {"execute_result", "display_data", "stream"}
    assert all(output.get("name") != "stderr" for cell in CODE for output in cell.outputs)


def test_a_reader_sees_its_figures_and_no_folder_of_another_machine():
    for cell in CODE[1:]:
        draws = re.search(r"plt\.subplots|^(learning_curves|error_by_depth)\(", cell.source, re.M)
        assert pictures(cell) == bool(draws), cell.id
    assert not re.search(r"/(tmp|home|root|work|content|Users)/", str([c.outputs for c in CODE]))


def test_its_links_lead_somewhere_and_the_readme_leads_to_it():
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert len(links) >= 4
    assert all((FILE.parent / target).exists() for target in links)
    assert "(docs/tour.ipynb)" in (CHECKOUT / "README.md").read_text("utf-8")
    recorded = set(re.findall(r"runs/recorded/\w+", "\n".join(c.source for c in TOUR.cells)))
    assert all((CHECKOUT / folder).is_dir() for folder in recorded)


def test_in_a_checkout_nothing_is_fetched(monkeypatch):
    monkeypatch.setattr(subprocess, "run", pytest.fail)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(metadata, "version", lambda name: "0.1.0")
    monkeypatch.chdir(FILE.parent)
    exec(SET_UP, names := {})
    assert names["checkout"] == names["Path"].cwd() == CHECKOUT
    assert sys.path[0] == str(CHECKOUT)


def test_elsewhere_it_asks_for_the_repository(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="REPOSITORY is empty"):
        exec(SET_UP, {})


def test_in_colab_it_fetches_the_named_repository_and_installs_what_is_missing(
    monkeypatch, tmp_path
):
    started = []

    def run(words, check):
        started.append(words)
        if words[0] == "git":
            (tmp_path / "resnet_study_checkout").mkdir()

    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(metadata, "version", missing)
    monkeypatch.setattr(sys, "path", sys.path[:])
    source = SET_UP.replace('REPOSITORY = ""', 'REPOSITORY = "the/repository.git"')
    for _ in range(2):
        monkeypatch.chdir(tmp_path)
        exec(source, {})
    clone, install, again = started
    place = str(tmp_path / "resnet_study_checkout")
    assert clone == ["git", "clone", "--depth", "1", "the/repository.git", place]
    assert install == again
    assert install[1:4] == ["-m", "pip", "install"]
    assert install[-2:] == ["--editable", place]
    assert sys.path[0] == place


@pytest.mark.slow
def test_it_runs_and_shows_of_the_records_what_it_showed(monkeypatch, tmp_path):
    from nbclient import NotebookClient

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    executed = nbformat.read(FILE, as_version=4)
    place = {"metadata": {"path": str(FILE.parent)}}
    NotebookClient(executed, timeout=600, kernel_name="python3", resources=place).execute()
    for before, after in zip(TOUR.cells, executed.cells, strict=True):
        if before.cell_type == "code":
            assert pictures(after) == pictures(before), before.id
        if before.id in RECORDED:
            assert texts(after) == texts(before), before.id

"""What a public project has beside its code: workflow, citation, version, release notes."""

import re
import tomllib
from datetime import date

import pytest
import yaml

import resnet_study
from tests.conftest import CHECKOUT

PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
CITATION = yaml.safe_load((CHECKOUT / "CITATION.cff").read_text("utf-8"))
WORKFLOW = yaml.safe_load((CHECKOUT / ".github/workflows/ci.yml").read_text("utf-8"))
RELEASE = re.search(
    r"^## (\S+) \((\d{4}-\d\d-\d\d)\)$", (CHECKOUT / "CHANGELOG.md").read_text("utf-8"), re.M
)


def test_the_workflow_does_what_is_done_before_a_change_lands():
    # YAML 1.1 reads the key `on` as true.
    assert set(WORKFLOW[True]) == {"push", "pull_request"}
    (job,) = WORKFLOW["jobs"].values()
    steps = [step.get("run", step.get("uses")) for step in job["steps"]]
    assert steps[-1] == ".ci/run"
    assert all("safe.directory" in step or "checkout@" in step for step in steps[:-1])
    python = re.match(r"python:(\d+)\.(\d+)-", job["container"]["image"])
    lowest = re.fullmatch(r">=(\d+)\.(\d+)", PROJECT["requires-python"])
    assert (int(python[1]), int(python[2])) >= (int(lowest[1]), int(lowest[2]))


def test_all_places_name_one_version():
    assert resnet_study.__version__ == PROJECT["version"] == CITATION["version"] == RELEASE[1]
    assert CITATION["date-released"] == date.fromisoformat(RELEASE[2])


def test_the_citation_has_what_its_format_asks_for():
    assert {"cff-version", "message", "title", "authors"} <= CITATION.keys()
    assert CITATION["license"] == PROJECT["license"]
    (paper,) = CITATION["references"]
    identifier = paper["identifiers"][0]["value"]
    assert identifier in (CHECKOUT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("file", ["ISSUE_TEMPLATE/problem.md", "ISSUE_TEMPLATE/wish.md"])
def test_issue_templates_have_a_name_and_fit_a_screen(file):
    _, head, body = (CHECKOUT / ".github" / file).read_text("utf-8").split("---\n", 2)
    assert yaml.safe_load(head).keys() == {"name", "about"}
    assert 0 < len(body.splitlines()) < 15


def test_the_source_distribution_has_all_that_its_check_runs():
    manifest = (CHECKOUT / "MANIFEST.in").read_text("utf-8")
    named = re.findall(r"^(?:graft|include) (.+)$", manifest, re.M)
    files = [word for line in named for word in line.split()]
    assert {"analysis", "conf", "hydra_plugins", "Makefile", "constraints.txt"} <= set(files)
    assert all((CHECKOUT / name).exists() for name in files)

"""Two commits are compared bit for bit, and a difference is named."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from resnet_study.experiment import run
from tests.comparison import CHECKOUT
from tests.golden.compare_commits import first_difference


@pytest.mark.slow
@pytest.mark.skipif(not (CHECKOUT / ".git").exists(), reason="needs a git checkout")
def test_a_commit_is_the_same_as_itself():
    command = [sys.executable, "-m", "tests.golden.compare_commits", "HEAD", "plain"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("plain (plain-008-")
    assert "the same: 60 rows, " in done.stdout
    worktrees = subprocess.check_output(["git", "worktree", "list"], cwd=CHECKOUT, text=True)
    assert "/tmp/tmp" not in worktrees


def test_a_difference_is_named(tiny, tmp_path):
    one = run(tiny()).folder
    two = shutil.copytree(one, tmp_path / "copy" / one.name)
    assert first_difference(one, two) is None
    other = run(tiny(seed=1)).folder
    assert first_difference(one, other) == f"the id was {one.name} and is {other.name}"
    shutil.copy(other / "checkpoint.pt", two)
    assert first_difference(one, two) == "stem.conv.weight in checkpoint.pt differs"
    with (two / "metrics.csv").open("a") as stream:
        stream.write("15,1.2\n")
    assert first_difference(one, two).startswith("row 5 of metrics.csv was None and is {'iter")

"""Two commits, a checkout with other ends of lines, and tests without their helpers."""

import os
import shutil
import subprocess
import sys
from hashlib import sha1

import pytest

from resnet_study.experiment import run
from tests.comparison import CHECKOUT
from tests.golden.compare_commits import first_difference

needs_git = pytest.mark.skipif(not (CHECKOUT / ".git").exists(), reason="needs a git checkout")


@needs_git
@pytest.mark.slow
def test_a_commit_is_the_same_as_itself():
    command = [sys.executable, "-m", "tests.golden.compare_commits", "HEAD", "plain"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("plain (plain-008-")
    assert "the same, 151 rows, 67 tensors" in done.stdout


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
    assert first_difference(one, two).startswith("a row was None and is {'iteration': '15'")


# What people set for all their repositories.
ATTRIBUTES = (
    "*.csv text eol=crlf working-tree-encoding=UTF-16LE-BOM\n*.json filter=loud\n*.yaml ident"
)


@needs_git
@pytest.mark.parametrize(
    "settings",
    [
        ["core.autocrlf=true", "core.safecrlf=true"],
        ["core.eol=crlf"],
        ["core.attributesFile={}/attributes", "filter.loud.smudge=tr a-z A-Z"],
    ],
)
def test_no_setting_of_git_changes_a_record(settings, tmp_path):
    """As `git clone -c core.autocrlf=true` writes it."""
    (tmp_path / "attributes").write_text(ATTRIBUTES)
    options = [word for setting in settings for word in ("-c", setting.format(tmp_path))]

    def git(*words: str) -> str:
        command = ["git", *options, *words]
        return subprocess.run(
            command, cwd=CHECKOUT, check=True, capture_output=True, text=True
        ).stdout

    places = ("runs/recorded/identity", "tests/fixtures/mechanism", "analysis/data")
    listed = [line.split() for line in git("ls-files", "--stage", *places).splitlines()]
    assert len(listed) > 50
    git("checkout-index", f"--prefix={tmp_path}/", *(words[-1] for words in listed))
    for _, expected, _, name in listed:
        written = (tmp_path / name).read_bytes()
        assert sha1(b"blob %d\0" % len(written) + written).hexdigest() == expected, name


@pytest.mark.slow
def test_tests_of_a_gpu_need_neither_hypothesis_nor_xdist():
    code = "import pytest, sys; sys.modules |= dict.fromkeys(['hypothesis', 'xdist']); "
    code += "sys.exit(pytest.main(['-m', 'gpu', '--collect-only', '-q']))"
    alone = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=CHECKOUT, env=alone, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "test_a_gpu_trains_on_a_stream_what_a_cpu_does" in done.stdout
    assert "could not import 'hypothesis'" in done.stdout

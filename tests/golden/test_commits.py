"""Two commits, a checkout with other ends of lines, and tests without their helpers."""

import os
import shutil
import subprocess
import sys

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


@pytest.mark.slow
@needs_git
def test_a_checkout_with_other_ends_of_lines_has_the_same_bytes(tmp_path):
    """As `git clone -c core.autocrlf=true` writes them."""
    subprocess.run(
        "git ls-files -z runs/recorded tests analysis/data |"
        f" git -c core.autocrlf=true checkout-index -z --stdin --prefix={tmp_path}/",
        cwd=CHECKOUT, check=True, shell=True,
    )  # fmt: skip
    files = [path for path in tmp_path.rglob("*") if path.suffix in (".csv", ".json", ".yaml")]
    assert len(files) > 500
    assert not [path for path in files if b"\r" in path.read_bytes()]


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

"""Files that are compared by their bytes reach every checkout as they were stored."""

from __future__ import annotations

import subprocess

import pytest

from tests.comparison import CHECKOUT


@pytest.mark.slow
@pytest.mark.skipif(not (CHECKOUT / ".git").exists(), reason="needs git's index")
def test_a_checkout_with_other_ends_of_lines_has_the_same_bytes(tmp_path):
    """As `git clone -c core.autocrlf=true` writes them."""
    subprocess.run(
        "git ls-files -z runs/recorded tests analysis/data |"
        f" git -c core.autocrlf=true checkout-index -z --stdin --prefix={tmp_path}/",
        cwd=CHECKOUT, check=True, shell=True,
    )  # fmt: skip
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 1000
    assert not [path for path in files if b"\r\n" in path.read_bytes() and path.suffix != ".png"]

"""A Slurm of this machine's own for the tests of this folder."""

import os
import shutil

import pytest

from tests.slurm.cluster import PROGRAMS, SEARCH, Cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    if lacking := [name for name in PROGRAMS if shutil.which(name, path=SEARCH) is None]:
        pytest.skip(f"Slurm is not installed: {', '.join(lacking)}")
    if os.geteuid():
        pytest.skip("Slurm's daemons need root")
    one = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        one.start()
        yield one
    finally:
        one.stop()

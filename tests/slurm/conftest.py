"""A Slurm of this machine's own for the tests of this folder."""

from __future__ import annotations

import os

import pytest

from tests.slurm.cluster import Cluster, missing


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    if lacking := missing():
        pytest.skip(f"Slurm is not installed: {', '.join(lacking)}")
    if os.geteuid():
        pytest.skip("Slurm's daemons need root")
    one = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        one.start()
        yield one
    finally:
        one.stop()

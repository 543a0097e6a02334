"""Launchers as config, and what is said where one cannot be had."""

from __future__ import annotations

import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from tests.comparison import CHECKOUT

HIDDEN = """
import runpy, sys
sys.modules["hydra_plugins.hydra_submitit_launcher.config"] = None
sys.argv = ["resnet_study", *sys.argv[1:]]
runpy.run_module("resnet_study", run_name="__main__")
"""
TO_SLURM = ("-m", "seed=0,1", "launcher=slurm")


@pytest.mark.parametrize("launcher", ["local", "slurm"])
def test_launchers_are_config(launcher, cli):
    done = cli("--cfg", "hydra", f"launcher={launcher}", tiny=False)
    assert done.returncode == 0, done.stderr
    settings = OmegaConf.create(done.stdout).hydra.launcher
    own = OmegaConf.load(CHECKOUT / "conf" / "hydra" / "launcher" / f"{launcher}.yaml")
    for name in own:
        if name not in ("defaults", "name"):
            assert str(settings[name]) == str(own[name]), name


@pytest.mark.slow
def test_without_the_extra_one_line_says_what_to_install():
    done = subprocess.run(
        [sys.executable, "-c", HIDDEN, *TO_SLURM],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    # Above it Hydra complains of the plugin that is hidden by halves.
    last = done.stderr.splitlines()[-1]
    assert last == "error: hydra/launcher=slurm: needs the extra: pip install -e '.[slurm]'"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words, programs, told",
    [
        (TO_SLURM, [], "hydra/launcher=slurm: sbatch is not found here; allowed are local, or a"),
        ((*TO_SLURM, "precision=auto"), [], "precision=auto: other machines train, and runs are"),
        (["launcher=slurm"], [], "hydra/launcher=slurm: takes a sweep, of one run or more: add -m"),
        *(
            ((*TO_SLURM, f"hydra.launcher.{setting}"), ["sbatch", "squeue"],
             f"hydra.launcher.{setting}: {allowed}")
            for setting, allowed in (
                ("timeout_min=0", "allowed is 1 minute or more"),
                ("signal_delay_s=99999", "allowed is less than timeout_min"),
                ("array_parallelism=0", "allowed is 1 or more"),
            )
        ),
    ],
)  # fmt: skip
def test_what_slurm_cannot_take_is_one_line(words, programs, told, cli, tmp_path, monkeypatch):
    # Where Slurm is installed, as in CI, it is hidden.
    for name in programs:
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    done = cli(*words)
    assert done.returncode == 2
    assert f"error: {told}" in done.stderr.splitlines()[-1]
    assert not list(tmp_path.glob("runs/*/*-s*"))

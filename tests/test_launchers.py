"""Launchers as config, and what is said where one cannot be had."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from omegaconf import OmegaConf

from tests.comparison import CHECKOUT

HIDDEN = """
import runpy, sys
sys.modules["hydra_plugins.hydra_submitit_launcher.config"] = None
sys.argv = ["resnet_study", *sys.argv[1:]]
runpy.run_module("resnet_study", run_name="__main__")
"""


@pytest.mark.parametrize("launcher", ["local", "slurm", "slurm_local"])
def test_launchers_are_config(launcher, command):
    done = command("--cfg", "hydra", f"hydra/launcher={launcher}", tiny=False)
    assert done.returncode == 0, done.stderr
    settings = OmegaConf.create(done.stdout).hydra.launcher
    own = OmegaConf.load(CHECKOUT / "conf" / "hydra" / "launcher" / f"{launcher}.yaml")
    for name in own:
        if name not in ("defaults", "name"):
            assert str(settings[name]) == str(own[name]), name
    assert (launcher == "slurm") == ("partition" in settings)


@pytest.mark.parametrize("launcher", ["slurm", "slurm_local"])
def test_without_the_extra_one_line_says_what_to_install(launcher):
    done = subprocess.run(
        [sys.executable, "-c", HIDDEN, "-m", f"hydra/launcher={launcher}", "seed=0,1"],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    # Above it Hydra complains of the plugin that is hidden by halves.
    last = done.stderr.splitlines()[-1]
    assert last == f"error: hydra/launcher={launcher}: needs the extra: pip install -e '.[slurm]'"
    assert "Traceback" not in done.stderr


def test_without_slurm_one_line_says_what_is_allowed(command, monkeypatch):
    # Where Slurm is installed, as in CI, it is hidden.
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    done = command("-m", "seed=0,1", "hydra/launcher=slurm")
    assert done.returncode == 2
    assert "error: hydra/launcher=slurm: sbatch is not found here" in done.stderr


def test_a_precision_that_another_machine_would_choose_is_refused(command):
    done = command("-m", "seed=0,1", "hydra/launcher=slurm", "precision=auto")
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "error: precision=auto: other machines train, and runs are named by it; allowed are fp32, "
        "bf16"
    )


def test_a_launcher_without_a_sweep_trains_nothing(command, tmp_path):
    done = command("hydra/launcher=slurm")
    assert done.returncode == 2
    assert done.stderr == (
        "error: hydra/launcher=slurm: takes a sweep, of one run or more: add -m\n"
    )
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "setting, value, allowed",
    [
        ("timeout_min", 0, "allowed is 1 minute or more"),
        ("signal_delay_s", 99999, "allowed is less than timeout_min"),
        ("array_parallelism", 0, "allowed is 1 or more"),
    ],
)
def test_settings_that_make_no_sense_to_slurm(setting, value, allowed, command, monkeypatch):
    with TemporaryDirectory() as folder:
        for name in ("sbatch", "squeue"):
            (Path(folder) / name).write_text("#!/bin/sh\nexit 1\n")
            (Path(folder) / name).chmod(0o755)
        monkeypatch.setenv("PATH", os.pathsep.join([folder, os.environ["PATH"]]))
        done = command("-m", "seed=0,1", "launcher=slurm", f"hydra.launcher.{setting}={value}")
    assert done.returncode == 2
    assert f"error: hydra.launcher.{setting}={value}: {allowed}" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_worker_is_one_line(command):
    done = command("-m", "seed=0,1", "hydra/launcher=slurm_local",
                   "hydra.launcher.array_parallelism=0")  # fmt: skip
    assert done.returncode == 2
    assert "error: hydra.launcher.array_parallelism=0: allowed is 1 or more" in done.stderr

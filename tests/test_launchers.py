"""Launchers as config, and what is said where one cannot be had."""

import subprocess
import sys

import pytest
import yaml

from tests.comparison import CHECKOUT

HIDDEN = """
import runpy, sys
sys.modules["hydra_plugins.hydra_submitit_launcher.config"] = None
sys.argv = ["resnet_study", *sys.argv[1:]]
runpy.run_module("resnet_study", run_name="__main__")
"""


@pytest.mark.parametrize("launcher", ["local", "slurm"])
def test_launchers_are_config(launcher, cli):
    done = cli("--cfg", "hydra", f"launcher={launcher}", tiny=False)
    assert done.returncode == 0, done.stderr
    own = yaml.safe_load((CHECKOUT / f"conf/hydra/launcher/{launcher}.yaml").read_text())
    settings = yaml.safe_load(done.stdout)["hydra"]["launcher"]
    for name in own.keys() - {"defaults", "name"}:
        assert str(settings[name]) == str(own[name]), name


@pytest.mark.slow
def test_without_the_extra_one_line_says_what_to_install():
    line = [sys.executable, "-c", HIDDEN, "-m", "launcher=slurm"]
    done = subprocess.run(line, cwd=CHECKOUT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    # Above it Hydra complains of the plugin that is hidden by halves.
    last = done.stderr.splitlines()[-1]
    assert last == "error: hydra/launcher=slurm: needs the extra: pip install -e '.[slurm]'"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words, told",
    [
        ("", "hydra/launcher=slurm: launches sweeps, even of one run; add -m"),
        ("-m", "hydra/launcher=slurm: sbatch is not found here; use local, or a machine"),
        ("-m precision=auto", "precision=auto: must be fp32 or bf16: other machines train"),
        ("timeout_min=0", "must be 1 minute or more"),
        ("signal_delay_s=99999", "must be less than timeout_min"),
        ("array_parallelism=0", "must be 1 or more"),
    ],
)
def test_what_cannot_be_had_of_slurm_is_one_line(words, told, cli, tmp_path, monkeypatch):
    # Where Slurm is installed, as in CI, it is hidden.
    monkeypatch.setenv("PATH", str(tmp_path))
    if told.startswith("must"):
        told, words = f"hydra.launcher.{words}: {told}", f"-m hydra.launcher.{words}"
        for name in ("sbatch", "squeue"):
            (tmp_path / name).touch(mode=0o755)
    done = cli(*words.split(), "launcher=slurm", "model.depth=8")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: {told}")
    assert not list(tmp_path.glob("runs/*/*-s*"))

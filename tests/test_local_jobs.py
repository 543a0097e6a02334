"""Sweeps whose runs are processes of their own (hydra/launcher=slurm_local)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from resnet_study.experiment import run
from resnet_study.interruption import StopRequest
from resnet_study.runs import RunFolder
from tests.comparison import CHECKOUT, assert_same_end, hear_ctrl_c

pytestmark = pytest.mark.slow
CAP = 2


def start(folder: Path, cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "resnet_study", "-m", "seed=0,1,2"),
            *("model.depth=8", "model.width=4", "data.resolution=8", "data.train_images=200"),
            *("schedule.iterations=2500", "schedule.milestones=[1500]", "schedule.log_every=10"),
            *("schedule.batch_size=16", "schedule.warmup.iterations=null"),
            *("schedule.eval_every=1000", "schedule.eval_train_images=50", "checkpoint.every=100"),
            *(f"data.cache={cache}", f"runs_dir={folder}", "experiment_name=sweep"),
            *("hydra/launcher=slurm_local", f"hydra.launcher.array_parallelism={CAP}"),
        ],
        cwd=CHECKOUT,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_ctrl_c,
    )


def jobs(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes that train, not those that look after them."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            if "submitit.core._submit" in child.cmdline():
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


def until(process: subprocess.Popen[str], ready) -> None:
    deadline = time.monotonic() + 120
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        assert len(jobs(process)) <= CAP, "more runs than asked for"
        time.sleep(0.05)


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def assert_undisturbed_end(folder: Path) -> None:
    config = replace(RunFolder(folder).read_config(), experiment_name="whole")
    with StopRequest() as stop:
        assert_same_end(folder, run(config, stop=stop).folder)


def test_a_crash_a_time_limit_and_ctrl_c(tmp_path, cache):
    runs = tmp_path / "sweep"
    process = start(tmp_path, cache)
    until(process, lambda: len(list(runs.glob("*/checkpoint.pt"))) == CAP)
    crashed, told = sorted(jobs(process), key=lambda job: job.pid)
    os.kill(crashed.pid, signal.SIGKILL)
    # What the process that looks after a job sends before the time limit.
    os.kill(told.pid, signal.SIGUSR2)
    until(process, lambda: len(list(runs.glob("*/checkpoint.pt"))) == 3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGINT
    assert "Traceback" not in errors
    assert "the same command goes on with the others where they were saved" in errors
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in str(p.info)]

    process = start(tmp_path, cache)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    folders = list(runs.glob("*-s*"))
    assert len(folders) == 3
    resumed = [entry["iteration"] for f in folders for entry in manifest(f)["resumed"]]
    # Requeued, interrupted and crashed runs all went on; not each at a checkpoint's iteration.
    assert len(resumed) >= 3
    assert any(iteration % 100 for iteration in resumed)
    for folder in folders:
        assert manifest(folder)["state"] == "finished"
        assert manifest(folder)["threads"] == 1
        assert_undisturbed_end(folder)

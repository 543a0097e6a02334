"""`python -m resnet_study.plan` as a user types it: quick, of one line where it is wrong."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from resnet_study.plan.__main__ import rewrite
from tests.conftest import CHECKOUT


@pytest.fixture
def plan(cli, tmp_path, monkeypatch, benchmark_file):
    """Plans in a folder of its own, in which it writes nothing."""
    given = "benchmark=" + str(benchmark_file(name="it's [here],{a}.json"))
    monkeypatch.chdir(tmp_path)

    def call(*words, named=(given,)):
        ended = cli(*words, *named, module="resnet_study.plan")
        assert len(list(Path().iterdir())) == 1
        return ended

    return call


def test_figure_6_on_a_cluster_as_text_and_as_json(plan):
    pytest.importorskip("submitit")
    words = ("experiment=figure6", "launcher=slurm", "hydra.launcher.cpus_per_task=3")
    ended = plan(*words, "hydra.launcher.gpus_per_node=2")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("15 runs in runs/figure6: 15 not begun\nCIFAR-10, 64,000 iter")
    assert ended.stdout.count("\nresidual-B-") == 5
    assert "15 at a time, each on 3 cores and 2 GPUs (launcher slurm)" in ended.stdout
    assert "An Abacus, 2 cores\n" in ended.stdout
    found = json.loads(plan(*words, "hydra.launcher.array_parallelism=7", "--json").stdout)
    assert (found["runs"], found["not begun"], found["launcher"]["workers"]) == (15, 15, 7)
    assert found["each"][0]["run_id"].startswith("plain-110-s0-")
    assert found["each"][0]["seconds"] < found["wall_seconds"] < found["run_seconds"] / 5


def test_the_recorded_benchmark_is_another_machines_and_torch_stays_out(plan, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr("joblib.cpu_count", lambda: 8)
    text = plan("device=cpu", "seed=0,1", "hydra.launcher.n_jobs=2", named=()).stdout
    assert "2 at a time, each on 4 cores (launcher local)" in text
    assert "runs/recorded/benchmark/benchmark.json: Intel(R) Xeon(R)" in text
    assert "another machine was measured: run make bench where the runs" in text


@pytest.mark.slow
def test_a_thousand_runs_take_less_than_five_seconds(plan):
    words = ("model=plain,residual", "model.depth=20,32,44,56,110", "seed=range(0,101)")
    began = time.process_time()
    text = plan(*words).stdout
    assert time.process_time() - began < 5
    assert text.startswith("1,010 runs in ")
    assert len(text.splitlines()) < 40


@pytest.mark.slow
def test_plugins_may_be_imported_before_hydra_finds_them():
    code = "from hydra_plugins import resnet_study_sweeper; from resnet_study.plan import __main__"
    words = [sys.executable, "-c", f"{code} as command; command.main()", "seed=1"]
    done = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True)
    assert (done.stderr, done.stdout[:9]) == ("", "1 run in ")


@pytest.mark.parametrize(
    "word, line",
    [
        ("benchmark=nowhere.json", "error: benchmark=nowhere.json: cannot be read"),
        ("hydra.launcher.n_jobs=0", "error: hydra.launcher.n_jobs=0: must be 1 or more"),
        ("device=cuda:99", "error: device=cuda:99: "),
        ("launcher=nothing", "error: hydra/launcher=nothing: must be one of basic, joblib, local"),
    ],
)
def test_what_is_wrong_is_said(plan, word, line):
    ended = plan(word, named=())
    assert (ended.returncode, ended.stdout) == (2 if line.startswith("error: ") else 1, "")
    assert ended.stderr.startswith(line)
    assert ended.returncode == 1 or ended.stderr.count("\n") == 1


def test_whatever_is_typed_is_planned_except_help(plan):
    words = ["hydra/sweeper=basic", "hydra.mode=RUN", "data.label=benchmark=x"]
    added = ["hydra.sweeper.as_json=False", "hydra/sweeper=study_plan", "hydra.mode=MULTIRUN"]
    assert rewrite(["-m", *words]) == [*words, *added]
    assert "benchmark=FILE" in plan("--help").stdout


def test_imagenets_family_is_scaled_and_takes_weeks(plan, varied):
    words = ("experiment=imagenet", f"data.root={varied}", "precision=fp32", "--json")
    found = json.loads(plan(*words).stdout)
    assert any(note.startswith("scaled from another width, side") for note in found["notes"])
    seconds = {run["run_id"][:9]: run["seconds"] for run in found["each"]}
    assert 1.5 < seconds["plain-034"] / seconds["plain-018"] < 2.5
    assert seconds["plain-018"] > 1e6

"""`python -m resnet_study.plan` as a user types it: quick, of one line where it is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from resnet_study.plan.__main__ import main, rewrite
from tests.pace import in_time

CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.fixture
def call(tmp_path, monkeypatch, capsys, benchmark_file):
    """Runs the command line in this process, in an empty folder; status, stdout, stderr."""
    given = benchmark_file(name="elsewhere/benchmark.json")
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)

    def call(*arguments: str, benchmark: bool = True):
        words = [*arguments, *([f"benchmark={given}"] if benchmark else [])]
        monkeypatch.setattr(sys, "argv", ["plan", *words])
        status = 0
        try:
            main()
        except SystemExit as ended:
            status = ended.code
        assert list(empty.rglob("*")) == [], "a plan leaves nothing behind"
        found = capsys.readouterr()
        return status, found.out, found.err

    return call


def test_an_experiment(call):
    status, text, errors = call("experiment=figure6")
    assert (status, errors) == (0, "")
    assert text.startswith("15 runs in runs/figure6: 0 finished, 15 not begun\nCIFAR-10, 64,000 it")
    assert text.count("residual-B") == 5
    assert "An Abacus, 2 cores" in text


def test_json_of_a_single_run(call):
    status, text, _ = call("--json", "model.depth=56", "seed=3")
    plan = json.loads(text)
    assert status == 0
    assert plan["runs"] == 1
    assert plan["each"][0]["run_id"].startswith("residual-A-056-shapes-quick-s3-")
    assert plan["launcher"]["workers"] == 1


def test_launchers(call):
    for name, workers in (("slurm", 15), ("slurm", 7)):
        size = f"hydra.launcher.array_parallelism={workers}"
        status, text, errors = call("experiment=quick", f"launcher={name}", size, "--json")
        if "Could not find" in errors:
            pytest.skip("submitit is not installed")
        plan = json.loads(text)
        assert (status, plan["launcher"]["name"]) == (0, name)
        assert plan["launcher"]["workers"] == workers
    longest = max(each["seconds"] for each in plan["each"])
    assert longest < plan["wall_seconds"] < plan["run_seconds"] / 5


def test_without_a_file_the_recorded_benchmark_is_named_as_another_machines(call, monkeypatch):
    monkeypatch.setattr("resnet_study.processor.processor_name", lambda: "My Machine")
    status, text, _ = call("experiment=quick", benchmark=False)
    assert status == 0
    assert "runs/recorded/benchmark/benchmark.json: Intel(R) Xeon(R) Processor, 2 cores" in text
    assert 'this machine is another, My Machine; measure it: make bench ARGS="--rounds' in text


def test_a_thousand_runs_in_less_than_five_seconds(call):
    words = ["model.depth=20,32,44,56,110", "model=plain,residual", "model.shortcut=A,B"]
    status, text, _ = in_time(5, lambda: call(*words, "seed=range(0,67)"))
    assert status == 0
    assert text.startswith("1,005 runs in ")
    assert len(text.splitlines()) < 40


def test_plugins_may_be_imported_before_hydra_finds_them():
    code = (
        "import sys; from hydra_plugins import resnet_study_sweeper;"
        "sys.argv = ['plan', 'seed=1']; from resnet_study.plan.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1 run in ")


def test_torch_stays_out(call, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert call("experiment=quick", "device=cpu")[0] == 0


@pytest.mark.parametrize(
    "words, line",
    [
        (["model.depth=21"], "error: model.depth=21: allowed is 6n+2"),
        (["model.depth=20,21"], "error: model.depth=21: allowed is 6n+2"),
        (["benchmark=nowhere.json"], "error: benchmark=nowhere.json: cannot be read"),
        (["benchmark=it's [here],{a}\\"], "error: benchmark=it's [here],{a}\\: cannot be read"),
        (["hydra.launcher.n_jobs=0"], "error: hydra.launcher.n_jobs=0: allowed is 1 or more"),
        (["data=image_folder", "data.root=none"], "error: data.root=none: is not there"),
        (["hydra.sweep.dir=other"], "error: hydra.sweep.dir=other: follows runs_dir"),
        (["hydra/sweeper=basic"], "error: hydra/sweeper=basic: a plan has a sweeper of its own"),
        (["+hydra.sweeper._target_=os.system"], "error: hydra.sweeper._target_=os.system: a plan"),
    ],
)
def test_what_is_wrong_is_one_line(call, words, line):
    status, text, errors = call(*words, benchmark=False)
    assert (status, text) == (2, "")
    assert errors.startswith(line)
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize("words", [["launcher=nothing"], ["nosuch=1"], ["--cfg", "job"]])
def test_what_hydra_rejects_is_rejected_in_its_words(call, words):
    status, text, errors = call(*words)
    assert (status, text) == (1, "")
    assert errors
    assert "Traceback" not in errors


def test_help_is_short(call):
    status, text, _ = call("--help")
    assert status == 0
    assert "benchmark=FILE" in text
    assert len(text.splitlines()) < 20


def test_words_are_handed_on_as_they_are():
    words = ["-m", "seed=0,1", "launcher=slurm", "hydra.mode=RUN", "data.label=launcher=x"]
    assert rewrite(words) == [
        "--multirun", "seed=0,1", "hydra/launcher=slurm", "data.label=launcher=x",
        "hydra/sweeper=study_plan",
    ]  # fmt: skip


def test_imagenets_family_is_planned_and_said_to_be_scaled(call, varied):
    given = ("experiment=imagenet", f"data.root={varied}", "precision=fp32")
    status, text, errors = call(*given)
    assert (status, errors) == (0, "")
    assert text.startswith("4 runs in runs/imagenet: 0 finished, 4 not begun\nImageNet, 600,000 it")
    assert "no network of ImageNet's family was measured" in text
    # 34 layers take twice the time of 18, and both weeks.
    plan = json.loads(call(*given, "--json")[1])
    seconds = {each["run_id"][:9]: each["seconds"] for each in plan["each"]}
    assert 1.5 < seconds["plain-034"] / seconds["plain-018"] < 2.5
    assert seconds["plain-018"] > 1e6
    status, _, errors = call("experiment=imagenet")
    assert status == 2
    assert errors.startswith("error: data.root=data/imagenet: is not there; allowed is a folder")

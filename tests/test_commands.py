"""The command line, as a user types it."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.pace import within

CHECKOUT = Path(__file__).resolve().parent.parent
SWEEP = ("-m", "model=plain,residual", "model.shortcut=A,B", "model.depth=8,14")


def states(folder: Path) -> dict[str, str]:
    return {
        p.parent.name: json.loads(p.read_text())["state"] for p in folder.glob("*/manifest.json")
    }


def test_a_sweep_trains_each_distinct_run_once_and_never_again(command, tmp_path):
    done = command(*SWEEP, "experiment_name=grid")
    assert done.returncode == 0, done.stderr
    assert "6 runs in" in done.stderr
    assert "0 finished, 6 to train" in done.stderr
    grid = tmp_path / "runs" / "grid"
    assert sorted(name.rsplit("-w4", 1)[0] for name in states(grid)) == [
        "plain-008", "plain-014", "residual-A-008", "residual-A-014", "residual-B-008",
        "residual-B-014",
    ]  # fmt: skip
    assert set(states(grid).values()) == {"finished"}
    assert sorted(p.name for p in grid.iterdir()) == sorted(states(grid)), "nothing else lies there"

    before = {p: p.stat().st_mtime_ns for p in grid.rglob("*") if p.is_file()}
    again = command(*SWEEP, "experiment_name=grid")
    assert again.returncode == 0
    assert "6 finished, 0 to train" in again.stderr
    assert {p: p.stat().st_mtime_ns for p in grid.rglob("*") if p.is_file()} == before

    # One missing run: that one is trained, to the same curve, and no other.
    lost = next(grid.glob("residual-B-014*"))
    curve = [row[:9] for row in csv.reader((lost / "metrics.csv").read_text().splitlines())]
    shutil.rmtree(lost)
    third = command(*SWEEP, "experiment_name=grid")
    assert "5 finished, 1 to train" in third.stderr
    assert [row[:9] for row in csv.reader((lost / "metrics.csv").read_text().splitlines())] == curve

    report = command(str(grid), "--output", str(tmp_path / "report"), module="analysis")
    assert report.returncode == 0, report.stderr
    assert "plain: training error" in report.stdout
    assert (tmp_path / "report" / "verdict.json").is_file()


def test_one_run_says_where_it_is(command, tmp_path):
    done = command("model=plain", "model.depth=8", "device=cpu")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"finished: {tmp_path / 'runs' / 'default' / 'plain-008'}")
    assert "iteration 12 of 12: training error" in done.stderr


def write_photos(root: Path) -> Path:
    from PIL import Image

    for part in ("train", "test"):
        for name, colour in (("cat", "red"), ("dog", "blue")):
            (root / part / name).mkdir(parents=True)
            for i in range(20):
                Image.new("RGB", (8, 8), colour).save(root / part / name / f"{i}.png")
    return root


def test_an_image_folder_is_trained_on(command, tmp_path):
    root = write_photos(tmp_path / "my photos")
    done = command(
        "data=image_folder", f"data.root='{root}'", "data.train_images=32", "model.depth=8"
    )
    assert done.returncode == 0, done.stderr
    config = yaml.safe_load(next((tmp_path / "runs").rglob("config.yaml")).read_text())
    assert config["data"]["root"] == str(root)


WRONG = {
    "depth": (["model.depth=21"], "model.depth=21: allowed is 6n+2"),
    "depth as a word": (["model.depth=deep"], "model.depth=deep: allowed is an integer"),
    "kind": (["model.kind=dense"], "model.kind=dense: allowed are plain, residual"),
    "shortcut": (["model.shortcut=D"], "model.shortcut=D: allowed are A, B, C"),
    "milestone": (["schedule.milestones=[6,12]"], "schedule.milestones=[6, 12]: allowed are"),
    "missing data": (
        ["data=image_folder", "data.root=nowhere"],
        "data.root=nowhere: is not there; allowed is a folder",
    ),
    "cuda": (["device=cuda"], "device=cuda: no CUDA device is available"),
    "batch": (["schedule.batch_size=500"], "schedule.batch_size=500: allowed is at most"),
    "runs_dir": (["runs_dir=/proc/runs"], "runs_dir=/proc/runs: cannot be written"),
    "interpolation": (["experiment_name=${oc.env:NOT_SET_ANYWHERE}"], "experiment_name="),
}


@pytest.mark.parametrize("sweep", [False, True], ids=["run", "sweep"])
@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line_and_leaves_nothing(case, sweep, command, tmp_path):
    if case == "cuda":
        torch = pytest.importorskip("torch")
        if torch.cuda.is_available():
            pytest.skip("this machine has a CUDA device")
    arguments, message = WRONG[case]
    done = command(*arguments, *(["-m", "seed=0,1"] if sweep else []))
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == (2 if lines[0].startswith("2 runs in") else 1), done.stderr
    assert lines[-1].startswith(f"error: {message}")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("broken", ["empty", "classes", "unreadable"])
def test_broken_image_folders_are_one_line_and_leave_nothing(broken, command, tmp_path):
    root = write_photos(tmp_path / "photos")
    if broken == "empty":
        shutil.rmtree(root / "train")
        (root / "train").mkdir()
        expected = "train: has 0 class folders"
    elif broken == "classes":
        (root / "test" / "owl").mkdir()
        expected = "only one of them has owl"
    else:
        (root / "test" / "dog" / "7.png").write_bytes(b"")
        expected = "test/dog/7.png: cannot be read as an image"
    done = command("data=image_folder", f"data.root={root}", "data.train_images=32")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert expected in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("arguments", [["model.dept=20"], ["model=dense"], ["experiment=nothing"]])
def test_what_hydra_rejects_keeps_its_message(arguments, command, tmp_path):
    done = command(*arguments)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_help_and_composition_need_no_torch(command):
    program = (
        "import sys, runpy\n"
        "sys.argv = ['resnet_study', '--cfg', 'job', 'experiment=quick']\n"
        "try: runpy.run_module('resnet_study', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "experiment_name: quick" in done.stdout
    shown = command("--help", tiny=False)
    assert "python -m resnet_study experiment=quick" in shown.stdout
    assert "experiment: colour, colour_paper, figure6, gradients" in shown.stdout


def test_a_finished_sweep_is_told_from_its_folders_alone(tmp_path):
    shutil.copytree(CHECKOUT / "runs" / "recorded" / "quick", tmp_path / "quick")
    program = (
        "import sys, runpy\n"
        f"sys.argv = ['resnet_study', 'experiment=quick', 'runs_dir={tmp_path}']\n"
        "try: runpy.run_module('resnet_study', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    with within(15):
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True
        )
    assert done.returncode == 0, done.stderr
    assert "15 finished, 0 to train" in done.stderr


def test_the_analysis_loads_without_torch():
    program = (
        "import sys, analysis.__main__, analysis.figures\n"
        "assert not any(m.split('.')[0] in ('torch', 'torchvision', 'hydra') for m in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [["runs/nowhere"], ["tests"]])
def test_the_analysis_names_a_folder_without_runs(arguments, command):
    done = command(*arguments, module="analysis")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: runs={arguments[0]}:")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("words", [["resnet_study", "--help"], ["resnet_study", "--cfg", "job"]])
def test_a_reader_that_has_seen_enough_is_no_error(words):
    with subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == ""

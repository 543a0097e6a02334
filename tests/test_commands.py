"""The command line, as a user types it; wrong ones are in test_wrong_input.py."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from tests.comparison import curve
from tests.conftest import CHECKOUT

SWEEP = ("-m", "model=plain,residual", "model.shortcut=A,B", "model.depth=8")


def states(folder: Path) -> dict[str, str]:
    files = folder.glob("*/manifest.json")
    return {file.parent.name: json.loads(file.read_text())["state"] for file in files}


def test_a_sweep_trains_each_distinct_run_once_and_never_again(cli, tmp_path):
    done = cli(*SWEEP, "experiment_name=grid")
    assert done.returncode == 0, done.stderr
    assert "3 runs in" in done.stderr
    assert "0 finished, 3 to train" in done.stderr
    grid = tmp_path / "runs" / "grid"
    assert sorted(name.rsplit("-w4", 1)[0] for name in states(grid)) == [
        "plain-008",
        "residual-A-008",
        "residual-B-008",
    ]
    assert set(states(grid).values()) == {"finished"}
    assert sorted(p.name for p in grid.iterdir()) == sorted(states(grid)), "nothing else lies there"

    before = {p: p.stat().st_mtime_ns for p in grid.rglob("*") if p.is_file()}
    again = cli(*SWEEP, "experiment_name=grid")
    assert again.returncode == 0
    assert "3 finished, 0 to train" in again.stderr
    assert {p: p.stat().st_mtime_ns for p in grid.rglob("*") if p.is_file()} == before

    # One missing run: that one is trained, to the same curve, and no other.
    lost = next(grid.glob("residual-B-008*"))
    former = curve(lost)
    shutil.rmtree(lost)
    third = cli(*SWEEP, "experiment_name=grid")
    assert "2 finished, 1 to train" in third.stderr
    assert curve(lost) == former


@pytest.mark.slow
def test_a_sweep_and_its_report_in_processes(command, tmp_path):
    done = command("-m", "model=plain", "model.depth=8,14")
    assert done.returncode == 0, done.stderr
    assert "0 finished, 2 to train" in done.stderr
    assert set(states(tmp_path / "runs" / "default").values()) == {"finished"}
    folders = (str(tmp_path / "runs" / "default"), "--output", str(tmp_path / "report"))
    report = command(*folders, module="analysis")
    assert report.returncode == 0, report.stderr
    assert "plain: training error" in report.stdout
    assert (tmp_path / "report" / "verdict.json").is_file()
    assert command("model.depth=21").returncode == 2
    assert command("model.dept=20").returncode == 1


def test_one_run_says_where_it_is(cli, tmp_path):
    done = cli("model=plain", "model.depth=8", "device=cpu")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"finished: {tmp_path / 'runs' / 'default' / 'plain-008'}")
    assert "iteration 12 of 12: training error" in done.stderr


@pytest.fixture
def photos(tmp_path):
    root = tmp_path / "my photos"
    for part in ("train", "test"):
        for name, colour in (("cat", "red"), ("dog", "blue")):
            (root / part / name).mkdir(parents=True)
            for i in range(20):
                Image.new("RGB", (8, 8), colour).save(root / part / name / f"{i}.png")
    return root


def test_an_image_folder_is_trained_on(cli, photos, tmp_path):
    words = ("data=image_folder", f"data.root='{photos}'", "data.train_images=32")
    done = cli(*words, "model.depth=8")
    assert done.returncode == 0, done.stderr
    config = yaml.safe_load(next((tmp_path / "runs").rglob("config.yaml")).read_text())
    assert config["data"]["root"] == str(photos)


DAMAGES = {
    "train: has 0 class folders": lambda root: [shutil.rmtree(c) for c in root.glob("train/*")],
    "only one of them has owl": lambda root: (root / "test/owl").mkdir(),
    "dog/7.png: cannot be read as an image": lambda root: (root / "test/dog/7.png").write_text(""),
}


@pytest.mark.parametrize("said", DAMAGES)
def test_broken_image_folders_are_one_line_and_leave_nothing(said, cli, photos, tmp_path):
    DAMAGES[said](photos)
    done = cli("data=image_folder", f"data.root='{photos}'", "data.train_images=32")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert said in done.stderr
    assert not (tmp_path / "runs").exists()


def test_help_lists_commands_and_experiments(cli):
    shown = cli("--help", tiny=False).stdout
    assert "python -m resnet_study experiment=quick" in shown
    assert "experiment: colour, colour_paper, figure6, gradients" in shown


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "heavy", "said"),
    [
        ("resnet_study --cfg job experiment=quick", "matplotlib", "experiment_name: quick"),
        ("resnet_study experiment=quick runs_dir=here", "matplotlib", "15 finished, 0 to train"),
        ("analysis --help", "hydra", "usage: "),
    ],
    ids=["composition", "a finished sweep", "analysis"],
)
def test_what_trains_nothing_loads_no_torch(words, heavy, said, tmp_path):
    shutil.copytree(CHECKOUT / "runs" / "recorded" / "quick", tmp_path / "quick")
    call = [
        sys.executable,
        "-X",
        "importtime",
        "-m",
        *words.replace("=here", f"={tmp_path}").split(),
    ]
    done = subprocess.run(call, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert said in done.stdout + done.stderr
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "resnet_study.errors" in loaded
    assert not {"torch", "torchvision", heavy} & loaded


@pytest.mark.parametrize("folder", ["runs/nowhere", "tests"])
def test_the_analysis_names_a_folder_without_runs(folder, cli):
    done = cli(folder, module="analysis")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: runs={folder}:")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("words", [["--help"], ["--cfg", "job"]])
def test_a_reader_that_has_seen_enough_is_no_error(words):
    with subprocess.Popen(
        [sys.executable, "-m", "resnet_study", *words],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == ""

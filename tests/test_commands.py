"""The command line, as a user types it; wrong ones are in test_wrong_input.py."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from resnet_study.store.folder import RunFolder
from tests.comparison import curve
from tests.conftest import CHECKOUT

SWEEP = ("-m", "model=plain,residual", "model.shortcut=A,B", "model.depth=8")


def states(folder: Path) -> dict[str, str]:
    return {run.name: RunFolder(run).read_manifest()["state"] for run in folder.iterdir()}


@pytest.mark.slow
def test_a_sweep_trains_each_distinct_run_once_and_never_again(cli, tmp_path):
    done = cli(*SWEEP, "experiment_name=grid")
    assert done.returncode == 0, done.stderr
    assert "3 runs in" in done.stderr
    assert "0 finished, 3 to train" in done.stderr
    grid = tmp_path / "runs" / "grid"
    families = [name.partition("-008-w4")[0] for name in sorted(states(grid))]
    assert families == ["plain", "residual-A", "residual-B"]
    assert set(states(grid).values()) == {"finished"}

    before = {path: path.stat().st_mtime_ns for path in grid.rglob("*.*")}
    again = cli(*SWEEP, "experiment_name=grid")
    assert again.returncode == 0
    assert "3 finished, 0 to train" in again.stderr
    assert {path: path.stat().st_mtime_ns for path in grid.rglob("*.*")} == before

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
    assert "embedded shapes, schedule quick: 2 runs" in report.stdout
    assert "claim 1: Plain networks degrade" in report.stdout
    assert (tmp_path / "report" / "verdict.json").is_file()
    assert command("model.depth=21").returncode == 2
    assert command("model.dept=20").returncode == 1


def test_one_run_says_where_it_is(cli, tmp_path):
    done = cli("model=plain", "model.depth=8", "device=cpu")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"finished: {tmp_path / 'runs' / 'default' / 'plain-008'}")
    assert "iteration 12 of 12: training error" in done.stderr


def test_an_image_folder_is_trained_on(cli, tmp_path):
    for place in ("train/cat", "train/dog", "test/cat", "test/dog"):
        (tmp_path / "my photos" / place).mkdir(parents=True)
        for number in range(20):
            Image.new("RGB", (8, 8)).save(tmp_path / "my photos" / place / f"{number}.png")
    root = f"data.root='{tmp_path / 'my photos'}'"
    done = cli("data=image_folder", root, "data.train_images=32", "model.depth=8")
    assert done.returncode == 0, done.stderr
    (run,) = tmp_path.glob("runs/default/*")
    assert RunFolder(run).read_config().data.root == str(tmp_path / "my photos")


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
def test_what_trains_nothing_loads_no_torch(words, heavy, said, command, tmp_path):
    shutil.copytree(CHECKOUT / "runs" / "recorded" / "quick", tmp_path / "quick")
    module, *rest = words.replace("=here", f"={tmp_path}").split()
    done = command(*rest, module=module, tiny=False, flags=("-X", "importtime"))
    assert said in done.stdout + done.stderr
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "resnet_study.system.errors" in loaded
    assert not {"torch", "torchvision", heavy} & loaded


RECORDS = "runs/recorded/quick"


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        "resnet_study --help",
        "resnet_study --cfg job",
        "resnet_study.plan --help",
        "resnet_study.plan experiment=quick",
        f"analysis.verify {RECORDS} runs/recorded/span",
        "analysis --help",
    ],
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_seen_enough_is_no_error(words, unbuffered):
    line, pipe = [sys.executable, "-m", *words.split()], subprocess.PIPE
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(line, cwd=CHECKOUT, env=environment, stdout=pipe, stderr=pipe) as process:
        process.stdout.close()
        assert not process.stderr.read()
    assert process.returncode in (0, 1)


@pytest.mark.slow
def test_a_finished_run_is_no_error_where_nobody_reads(typed):
    line = [sys.executable, "-m", "resnet_study", *typed("model.depth=8")]
    done = subprocess.run(
        ["sh", "-c", '"$@" | head -0', "sh", *line],
        cwd=CHECKOUT, env=os.environ | {"PYTHONUNBUFFERED": "1"}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert "iteration 12 of 12" in done.stderr
    assert "rror" not in done.stderr.replace("error ", "")


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-", "2>&1 | head -0"])
def test_a_sweep_trains_without_streams(closed, typed, tmp_path):
    line = [sys.executable, "-m", "resnet_study", *typed("-m", "model.depth=8", "seed=0,1")]
    subprocess.run(["sh", "-c", f'"$@" {closed}', "sh", *line], cwd=CHECKOUT, check=True)
    assert set(states(tmp_path / "runs" / "default").values()) == {"finished"}


@pytest.mark.slow
def test_a_report_is_the_same_whatever_surrounds_it(tmp_path):
    """A notebook's backend, a matplotlibrc that cannot be read, ASCII, and nobody's home."""
    alone = ["unshare", "--user", "--map-user=54321"]
    if subprocess.run([*alone, "true"], check=False, stderr=subprocess.DEVNULL).returncode:
        alone = []
    (tmp_path / "matplotlibrc").write_bytes(b"text.usetex: True\nfont.family: \xff\n")
    left_out = () if not alone else ("HOME", "USER", "LOGNAME", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in left_out} | {
        "MPLBACKEND": "module://no_such_backend",
        "MATPLOTLIBRC": str(tmp_path / "matplotlibrc"),
        "PYTHONIOENCODING": "ascii",
    }
    for name, before, variables in (("usual", [], None), ("strange", alone, environment)):
        line = [sys.executable, "-m", "analysis", RECORDS, "--output", str(tmp_path / name)]
        done = subprocess.run(
            [*before, *line], cwd=CHECKOUT, env=variables, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
    files = sorted((tmp_path / "usual").iterdir())
    assert len(files) > 30
    for file in files:
        assert (tmp_path / "strange" / file.name).read_bytes() == file.read_bytes(), file.name

"""What a sweep's command line names is what is trained, in one place, and then it ends."""

import os
import re

import pytest

from resnet_study import cli as command_line
from resnet_study import jobs
from resnet_study.store.folder import RunFolder
from resnet_study.system.errors import StudyWarning
from tests.started import Sweep


def runs_below(folder) -> dict[str, list[str]]:
    """The finished runs of each folder, by the path from here."""
    found: dict[str, list[str]] = {}
    for file in sorted(folder.glob("**/manifest.json")):
        assert RunFolder(file.parent).completed()
        found.setdefault(str(file.parent.parent.relative_to(folder)), []).append(file.parent.name)
    return found


def empty_folders(folder) -> list[str]:
    return [place for place, folders, files in os.walk(folder) if not folders and not files]


@pytest.mark.parametrize(
    ("setting", "place"),
    [
        ('experiment_name="a_${now:%H-%M-%S-%f}"', r"runs/a_[\d-]+"),
        ('data.label="${now:%f}"', "runs/default"),
        ('runs_dir="${hydra:runtime.cwd}/r"', "r/default"),
        ('runs_dir="${hydra:runtime.output_dir}/r"', "r/default"),
        (
            'experiment_name="${hydra:job.name}_${hydra:runtime.choices.schedule}"',
            r"runs/\w+_quick",
        ),
        ('experiment_name="of_${oc.env:WHO}"', "runs/of_me"),
        ("experiment_name=${schedule.name}/${data.name}", "runs/quick/shapes"),
        ('data.cache="c_${now:%f}"', "runs/default"),
        ('+hydra.job.env_set.NOW=me experiment_name="of_${oc.env:NOW}"', "runs/of_me"),
        ('experiment_name="${oc.env:NOBODY_HAS_SET,nobody}"', "runs/nobody"),
        ("hydra.output_subdir=.hydra", "runs/default"),
        # Bash leaves it as it is after a `=`.
        ("runs_dir=~/r", "r/default"),
    ],
)
def test_what_is_interpolated_is_resolved_once_and_in_one_place(
    setting, place, cli, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WHO", "me")
    monkeypatch.setenv("HOME", str(tmp_path))
    usual = [w for w in ("data.cache=cache", "runs_dir=runs") if w.partition("=")[0] not in setting]
    words = ["model.depth=8", *setting.split(), *usual]
    done = cli("-m", *words, "seed=0,1")
    assert done.returncode == 0, done.stderr
    ((folder, runs),) = runs_below(tmp_path).items()
    assert re.fullmatch(place, folder)
    assert len(runs) == 2
    assert empty_folders(tmp_path) == []
    assert not (tmp_path / ".hydra").exists()
    # A single run of the same command, where the time is no part of it, is one of these.
    if "now" not in setting:
        assert cli(*words).returncode == 0
        assert runs_below(tmp_path) == {folder: runs}


def test_each_run_has_its_number(runs_of):
    found = runs_of("-m", "seed=4,5", "experiment_name=j${hydra:job.num}")
    assert {(c.seed, c.experiment_name) for c in found} == {(4, "j0"), (5, "j1")}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("seed=0,1 seed=2", "seed=0,1"),
        ("seed=2 seed=range(3)", "seed=range(3)"),
        ("experiment=quick experiment=identity", "experiment=quick"),
        ("experiment=[quick,identity]", "experiment=[quick,identity]"),
    ],
)
def test_no_list_is_replaced_in_silence(words, told, cli, tmp_path):
    done = cli("-m", *words.split(), f"runs_dir={tmp_path}/runs", tiny=False)
    name = told.partition("=")[0]
    rule = f"must be given once, without brackets: {name}=A,B"
    assert (done.returncode, done.stderr) == (2, f"error: {told}: {rule}\n")


def test_each_combination_sees_its_own_choices(runs_of):
    """As each would as a single run; fields of Hydra's are not the sweep's."""
    named = "experiment_name=${hydra:runtime.choices.schedule}_${hydra:runtime.choices.data}"
    found = {
        (c.schedule.name, c.experiment_name) for c in runs_of("-m", "schedule=quick,paper", named)
    }
    assert found == {("quick", "quick_shapes"), ("paper", "paper_shapes")}


@pytest.mark.parametrize("words", ["", "-m seed=0,1", "-m seed=0,1 hydra/sweeper=basic"])
def test_a_change_of_folder_is_refused_in_one_line(words, cli, tmp_path):
    done = cli(*words.split(), "model.depth=8", "hydra.job.chdir=true", f"runs_dir={tmp_path}/runs")
    assert (done.returncode, done.stderr.splitlines()) == (
        2, ["error: hydra.job.chdir=True: must be false: paths start from one folder"],
    )  # fmt: skip
    assert runs_below(tmp_path) == {}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("experiment=quick,identity", {"quick": 15, "identity": 10}),
        ("experiment=options,options_paper", {"options": 20, "options_paper": 20}),
        ("experiment=choice(span,identity)", {"span": 12, "identity": 10}),
        ("experiment=glob(iden*)", {"identity": 10, "identity_paper": 10}),
        ("experiment=quick,quick", {"quick": 15}),
        # What is typed stands in place of each grid's own.
        ("experiment=quick,identity seed=0,1", {"quick": 30, "identity": 20}),
        ("experiment=quick,identity model=plain", {"quick": 5, "identity": 5}),
        ("experiment=quick,span experiment_name=both", {"both": 21}),
        ("experiment=quick experiment_name=a,b", {"a": 15, "b": 15}),
        ("experiment_name=a,b", {"a": 1, "b": 1}),
        ("experiment_name=a,b seed=0,1 model=plain model.shortcut=A,B", {"a": 2, "b": 2}),
    ],
)
def test_each_experiment_that_is_named_brings_its_own_grid(words, expected, runs_of):
    counts: dict[str, int] = {}
    for config in runs_of("-m", *words.split()):
        counts[config.experiment_name] = counts.get(config.experiment_name, 0) + 1
    assert counts == expected


@pytest.mark.parametrize("launcher", ["hydra/launcher=basic", "hydra/launcher=local"])
def test_an_experiment_is_a_sweep_without_a_flag(launcher, cli, tmp_path):
    words = ("experiment=quick", "model.depth=8", "seed=0,1", "model=plain", launcher)
    done = cli(*words)
    assert done.returncode == 0, done.stderr
    ((folder, runs),) = runs_below(tmp_path).items()
    assert (folder, len(runs)) == ("runs/quick", 2)


def test_runs_in_different_folders_are_all_trained(cli, tmp_path):
    places = f"runs_dir={tmp_path}/one,{tmp_path}/two"
    done = cli("-m", "model.depth=8", "experiment_name=a,b", places)
    assert done.returncode == 0, done.stderr
    assert "4 runs in " in done.stderr
    found = runs_below(tmp_path)
    assert sorted(found) == ["one/a", "one/b", "two/a", "two/b"]
    assert len({run for runs in found.values() for run in runs}) == 1
    assert empty_folders(tmp_path) == []


@pytest.mark.parametrize(
    ("swept", "told"),
    [
        ("threads=1,2", "threads=1,2"),
        ("kernels=auto,torch", "kernels=auto,torch"),
        ("checkpoint.every=5,6", "checkpoint.every=5,6"),
        ("activation_checkpointing=true,false", "activation_checkpointing=True,False"),
        ("data=image_folder data.root=x/a,y/a", "data.root=x/a,y/a"),
    ],
)
def test_what_does_not_tell_runs_apart_is_not_swept_over(swept, told, cli, tmp_path):
    done = cli("-m", "model.depth=8", *swept.split(), f"runs_dir={tmp_path}/runs")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {told}: describes one run, residual-A-008-")
    assert line.endswith("; give each its own experiment_name")


def test_other_peoples_sweepers_are_told_the_last_error_and_leave_no_empty_folder(
    cli, tmp_path, monkeypatch
):
    told = []
    job = command_line.run_job
    monkeypatch.setattr(
        command_line, "run_job", lambda *described: told.append(job(*described)) or told[-1]
    )
    basic = ("-m", "hydra/sweeper=basic", "model.depth=8", f"runs_dir={tmp_path}/runs")
    done = cli(*basic, "seed=0,1", "data.validation_images=0,50")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(told) == 4
    errors = []
    for folder in (tmp_path / "runs" / "default").glob("*-s*"):
        rows = RunFolder(folder).read_metrics().splitlines()
        column = rows[0].split(",").index("test_error")
        errors.append(float(rows[-1].split(",")[column]))
    assert sorted(told) == sorted(errors)
    assert empty_folders(tmp_path / "runs") == []
    # A rate at which nothing is left of the network.
    assert cli(*basic, "schedule.learning_rate=1e30", "schedule.eval_every=12").returncode == 0
    assert told[-1] == float("inf")
    # One that cannot be carried out ends the sweep in one line.
    done = cli(*basic, "schedule.batch_size=500")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: schedule.batch_size=500: ")


def test_a_sweeper_that_optimises_is_warned_once_of_test_errors(tiny):
    jobs._warn_of_test_errors.cache_clear()
    with pytest.warns(StudyWarning, match="the sweeper optimises the test error; hold images out"):
        told = jobs.run_job(tiny(), "optuna")
    # The second time nothing is said, nor to a sweeper that optimises nothing.
    assert jobs.run_job(tiny(), "optuna") == jobs.run_job(tiny(), "study") == told


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    [
        "hydra/launcher=basic",
        "hydra.launcher.backend=threading",
        "hydra.launcher.backend=multiprocessing",
        "hydra/sweeper=basic",
        "hydra/sweeper=basic hydra/launcher=basic",
    ],
)
def test_launchers_and_sweepers_of_others_train_what_ours_do(launcher, tmp_path, cache):
    sweep = Sweep(tmp_path, cache, "model.depth=8", "seed=0,1", *launcher.split())
    sweep.end(0)
    assert [m["state"] for m in sweep.manifests().values()] == ["finished"] * 2
    assert empty_folders(tmp_path) == []


@pytest.mark.slow
def test_workers_do_not_resolve_anew(tmp_path, cache):
    """The time has gone on by when a worker starts."""
    sweep = Sweep(tmp_path, cache, "model.depth=8", "seed=0,1", 'experiment_name="${now:%f}"')
    sweep.end(0)
    ((folder, runs),) = runs_below(tmp_path).items()
    assert folder.isdecimal()
    assert len(runs) == 2

"""Sweeps without a launcher: what is distinct, in which order, and when to give up."""

import shutil
from concurrent.futures import BrokenExecutor
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from hydra_plugins import resnet_study_sweeper
from resnet_study import __main__ as command_line
from resnet_study import sweep
from resnet_study.config import ModelConfig, RunConfig, ScheduleConfig
from resnet_study.errors import ConfigError, StorageError
from resnet_study.experiment import run
from resnet_study.interruption import StopRequest
from resnet_study.models import build_network
from resnet_study.runs import RunFolder, estimated_bytes
from resnet_study.sweep import Job, distinct, execute, workers_and_threads
from resnet_study.training import checkpoint as checkpoints
from resnet_study.training.state import TrainingState
from resnet_study.training.step import build_optimizer


@pytest.fixture
def jobs(tiny):
    def make(*seeds):
        return [Job((f"seed={seed}",), tiny(seed=seed)) for seed in seeds]

    return make


def test_plain_with_a_and_with_b_is_one_run():
    jobs = [
        Job((kind, option), RunConfig(model=ModelConfig(kind=kind, shortcut=option)))
        for kind in ("plain", "residual")
        for option in ("A", "B")
    ]
    assert [job.overrides for job in distinct(jobs)] == [
        ("plain", "A"),
        ("residual", "A"),
        ("residual", "B"),
    ]


def test_the_longest_runs_come_first():
    depths = (20, 110, 32, 56, 44)
    jobs = [Job((), RunConfig(model=ModelConfig(depth=depth))) for depth in depths]
    jobs.append(Job((), RunConfig(schedule=ScheduleConfig(iterations=640_000))))
    order = [(j.config.schedule.iterations, j.config.model.depth) for j in distinct(jobs)]
    assert order == [(640_000, 20)] + [(64_000, d) for d in (110, 56, 44, 32, 20)]


def test_what_is_finished_is_not_launched(jobs):
    run(jobs(0)[0].config)
    launched = []

    def launch(left, stop):
        launched.extend(job.config.seed for job in left)
        for job in left:
            run(job.config, stop=stop)
        return {}

    assert execute(jobs(0, 1, 2, 1), launch) == 0
    assert launched == [1, 2]
    assert execute(jobs(0, 1, 2), lambda *_: pytest.fail("launched again")) == 0


def test_the_rest_is_launched_again_after_a_workers_death(jobs):
    launches = []

    def launch(left, stop):
        launches.append([job.config.seed for job in left])
        run(left[0].config, stop=stop)
        if len(left) > 1:
            raise BrokenExecutor
        return {}

    assert execute(jobs(0, 1, 2), launch) == 0
    assert [len(seeds) for seeds in launches] == [3, 2, 1]


def test_a_run_that_keeps_killing_its_worker_is_given_up(jobs, capsys):
    launches = []

    def launch(left, stop):
        launches.append(len(left))
        for job in left:
            if job.config.seed == 1:
                RunFolder.of(job.config).write_manifest(
                    {"state": "running", "attempt": len(launches)}
                )
                raise BrokenExecutor
            run(job.config, stop=stop)
        return {}

    assert execute(jobs(0, 1, 2), launch) == 1
    assert len(launches) <= sweep.ATTEMPTS + 2
    errors = capsys.readouterr().err
    assert "not finished, its worker died" in errors
    assert "1 of 3 runs are not finished" in errors


def test_a_launcher_that_never_starts_is_given_up(jobs):
    launches = []

    def launch(left, stop):
        launches.append(len(left))
        raise BrokenExecutor

    assert execute(jobs(0, 1), launch) == 1
    assert len(launches) == sweep.ATTEMPTS


def test_a_launchers_own_defect_is_not_hidden(jobs):
    def launch(left, stop):
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        execute(jobs(0), launch)


def test_a_damaged_manifest_is_named_and_the_others_are_trained(jobs, capsys):
    damaged = RunFolder.of(jobs(1)[0].config)
    damaged.path.mkdir(parents=True)
    damaged.manifest_file.write_text("{")

    def launch(left, stop):
        for job in left:
            if job.config.seed != 1:
                run(job.config, stop=stop)
        return {}

    assert execute(jobs(0, 1), launch) == 1
    errors = capsys.readouterr().err
    assert f"damaged: {damaged.path}" in errors
    assert "1 of 2 runs" in errors


def test_a_run_that_fails_before_its_manifest_is_reported_once(jobs, capsys):
    launches = []

    def launch(left, stop):
        launches.append([job.config.seed for job in left])
        return {left[0].config.run_id: "StorageError: no room"}

    assert execute(jobs(0), launch) == 1
    assert launches == [[0]]
    errors = capsys.readouterr().err
    assert "not started:" in errors
    assert "StorageError: no room" in errors


def test_a_disk_that_is_too_small_is_named_before_anything_starts(jobs, monkeypatch, tmp_path):
    usage = shutil.disk_usage(tmp_path)._replace(free=50_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StorageError, match=r"MB are free there, and 2 runs need about"):
        execute(jobs(0, 1), lambda *_: pytest.fail("launched"))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("model", [{"depth": 8, "width": 4}, {"depth": 56}, {"shortcut": "B"}])
def test_the_estimate_of_disk_covers_three_checkpoints(model, tmp_path):
    import torch

    config = RunConfig(model=ModelConfig(**model))
    network = build_network(config.model, classes=10)
    optimizer = build_optimizer(network, config.schedule)
    network(torch.randn(2, 3, 16, 16)).sum().backward()
    optimizer.step()
    path = tmp_path / "checkpoint.pt"
    state = TrainingState.initial(config.schedule, 20, torch.device("cpu"))
    store = checkpoints.Checkpoints(path, tmp_path / "before", config, "data", {})
    store.save(network, optimizer, state, "")
    actual = 3 * path.stat().st_size
    assert actual < estimated_bytes(config) < 4 * actual + 1_000_000


def test_outside_of_a_checkout_one_line_says_so(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(command_line, "CONF", tmp_path / "conf")
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == 2
    errors = capsys.readouterr().err
    assert "resnet_study is used from its checkout" in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize(
    "asked, runs, cores, gpus, expected",
    [
        (-1, 15, 2, 0, (2, 1)),
        (-1, 15, 64, 0, (15, 4)),
        (-1, 1, 2, 0, (1, 2)),
        (1, 15, 4, 0, (1, 4)),
        (3, 15, 4, 0, (3, 1)),
        (8, 15, 4, 0, (8, 1)),
        (-2, 15, 4, 0, (3, 1)),
        (-9, 15, 4, 0, (1, 4)),
        (-1, 15, 16, 1, (8, 2)),
        (-1, 75, 64, 4, (32, 2)),
        (-1, 15, 2, 1, (2, 1)),
        (4, 15, 16, 1, (4, 4)),
    ],
)
def test_workers_share_the_machine(asked, runs, cores, gpus, expected):
    assert workers_and_threads(asked, runs, cores, gpus) == expected


@pytest.mark.parametrize("gpus, devices", [(0, ["auto"] * 3), (1, ["auto"] * 3),
                                           (2, ["cuda:0", "cuda:1", "cuda:0"])])  # fmt: skip
def test_workers_are_told_what_auto_stands_for(jobs, monkeypatch, gpus, devices):
    # Another machine might choose another precision, and so train runs of other ids.
    launched = []

    def launch(overrides, initial_job_idx):
        launched.extend(overrides)
        return []

    monkeypatch.setattr(resnet_study_sweeper, "_gpus", lambda _: gpus)
    sweeper = resnet_study_sweeper.StudySweeper(max_batch_size=None)
    sweeper.config = OmegaConf.create({"hydra": {"launcher": {"n_jobs": -1}}})
    sweeper.launcher = SimpleNamespace(joblib={"n_jobs": -1}, launch=launch)
    sweeper.runs = 3
    sweeper._launch(jobs(0, 1, 2), StopRequest())
    found = [dict(word.split("=", 1) for word in overrides) for overrides in launched]
    assert [job["device"] for job in found] == devices
    assert {job["precision"] for job in found} == {"fp32"}
    assert sweeper.launcher.joblib["n_jobs"] > 0


def test_no_worker_is_no_sweep():
    with pytest.raises(ConfigError, match=r"hydra\.launcher\.n_jobs=0: allowed is 1 or more"):
        workers_and_threads(0, 15, 2, 0)

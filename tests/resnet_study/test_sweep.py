"""Sweeps without a launcher: what is distinct, in which order, and when to give up."""

import signal
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor
from contextlib import ExitStack
from types import SimpleNamespace

import psutil
import pytest
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from hydra_plugins import resnet_study_sweeper
from resnet_study import cli as command_line
from resnet_study import sweep
from resnet_study.config import ModelConfig, RunConfig, ScheduleConfig
from resnet_study.experiment import run
from resnet_study.progress import SweepReporter
from resnet_study.store.folder import RunFolder
from resnet_study.store.space import estimated_bytes
from resnet_study.store.tables import MetricsTable
from resnet_study.sweep import (
    distinct,
    execute,
    folder_of,
    handed_down,
    job_folder,
    workers_and_threads,
)
from resnet_study.system.errors import ConfigError, StudyError
from resnet_study.system.interruption import NotDone, StopRequest, shielded_children
from resnet_study.training.events import Row


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    """Spares the tests the pause after which a sweep looks again."""
    monkeypatch.setattr(sweep, "_PATIENCE", 0.0)


@pytest.fixture
def jobs(tiny):
    def make(*seeds):
        return [tiny(seed=seed) for seed in seeds]

    return make


class Launcher:
    """Trains in this process, one job at a time; some jobs end otherwise.

    Args:
        others: What is called with a job in place of training it, by seed.
    """

    def __init__(self, others=None) -> None:
        self.others, self.launches = others or {}, []

    def __call__(self, left, stop):
        self.launches.append([job.seed for job in left])
        failures = {}
        for job in left:
            if other := self.others.get(job.seed):
                failures |= other(job) or {}
            else:
                run(job, stop=stop)
        return failures


def broken(_):
    raise BrokenExecutor


def test_plain_with_a_and_with_b_is_one_run_and_the_longest_come_first():
    configs = [
        RunConfig(model=ModelConfig(kind=kind, depth=depth, shortcut=shortcut))
        for depth in (20, 110, 32)
        for kind, shortcut in (("plain", "A"), ("plain", "B"), ("residual", "B"))
    ]
    configs.append(RunConfig(schedule=ScheduleConfig(iterations=640_000)))
    runs = distinct(configs)
    assert [(c.schedule.iterations, c.model.depth, c.model.family) for c in runs] == [
        (640_000, 20, "residual-A"),
        *((64_000, depth, f) for depth in (110, 32, 20) for f in ("plain", "residual-B")),
    ]


def test_what_is_not_finished_is_launched_and_again_after_a_workers_death(jobs):
    run(jobs(0)[0])
    launcher = Launcher({2: lambda job: launcher.others.clear() or broken(job)})
    assert execute(jobs(0, 1, 2, 1), launcher) == 0
    assert execute(jobs(0, 1, 2), launcher) == 0
    assert launcher.launches == [[1, 2], [2]]


def test_a_run_that_keeps_killing_its_worker_is_given_up(jobs, capsys):
    def begun(job):
        manifest = {"state": "running", "attempt": len(launcher.launches)}
        RunFolder.of(job).write_manifest(manifest)
        raise BrokenExecutor

    launcher = Launcher({1: begun})
    assert execute(jobs(0, 1, 2), launcher) == 1
    assert len(launcher.launches) <= sweep.ATTEMPTS + 2
    errors = capsys.readouterr().err
    assert "not finished, its worker died" in errors
    assert "1 of 3 runs are not finished" in errors


def test_a_launcher_that_never_starts_is_given_up_and_its_own_defect_is_not_hidden(jobs):
    launcher = Launcher({0: broken, 1: broken})
    assert execute(jobs(0, 1), launcher) == 1
    assert len(launcher.launches) == sweep.ATTEMPTS
    with pytest.raises(ZeroDivisionError):
        execute(jobs(0), lambda *_: 1 / 0)


def test_damaged_manifests_and_failures_are_named_once_and_the_others_are_trained(jobs, capsys):
    damaged, failing, _ = (RunFolder.of(job) for job in jobs(1, 2, 3))
    damaged.path.mkdir(parents=True)
    damaged.manifest_file.write_text("{")
    unstarted = {failing.path.absolute(): "StorageError: no room"}
    launcher = Launcher({1: lambda _: None, 2: lambda _: unstarted})
    assert execute(jobs(1, 2, 3), launcher) == 1
    assert [sorted(seeds) for seeds in launcher.launches] == [[1, 2, 3]]
    errors = capsys.readouterr().err
    assert f"damaged: {damaged.path}" in errors
    assert f"not started: {failing.path}\n  StorageError: no room" in errors
    assert "2 of 3 runs are not finished" in errors


@pytest.mark.parametrize("model", [{"depth": 8, "width": 4}, {"depth": 56}, {"shortcut": "B"}])
def test_the_estimate_of_disk_covers_three_checkpoints(model, tiny):
    config = tiny({"iterations": 1, "milestones": ()}, model=ModelConfig(**model))
    actual = 3 * (run(config).folder / "checkpoint.pt").stat().st_size
    assert actual < estimated_bytes(config) < 4 * actual + 1_000_000


def test_a_line_tells_how_far_a_sweep_is_and_how_long_it_takes(jobs, capsys):
    configs = jobs(0, 1, 2)
    with SweepReporter(configs, [1.0, 1.0, 2.0], interval=0.01) as reporter:
        assert reporter.line() == "0 finished, 0 running, 3 left"
        run(configs[0])
        folder = RunFolder.of(configs[2])
        MetricsTable(folder.metrics_file).append(Row(6))
        folder.write_manifest({"state": "running"})
        # Half of the work in an hour.
        reporter.began = time.monotonic() - 3600
        assert reporter.line() == "1 finished, 1 running, 1 left, about 60 min to go"
    assert "0 finished, 0 running, 3 left\n" in capsys.readouterr().err


def test_outside_of_a_checkout_one_line_says_so(monkeypatch, tmp_path, cli):
    monkeypatch.setattr(command_line, "CONF", tmp_path / "conf")
    done = cli()
    assert done.returncode == 2
    assert "install resnet_study from its checkout" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "asked, runs, cores, gpus, expected",
    [
        (-1, 15, 2, 0, (2, 1)), (-1, 15, 64, 0, (15, 4)), (-1, 1, 2, 0, (1, 2)),
        (3, 15, 4, 0, (3, 1)), (-2, 15, 4, 0, (3, 1)), (-9, 15, 4, 0, (1, 4)),
        (-1, 15, 16, 1, (8, 2)), (-1, 75, 64, 4, (32, 2)), (4, 15, 16, 1, (4, 4)),
    ],
)  # fmt: skip
def test_workers_share_the_machine(asked, runs, cores, gpus, expected):
    assert workers_and_threads(asked, runs, cores, gpus) == expected
    with pytest.raises(ConfigError, match=r"hydra\.launcher\.n_jobs=0: must be 1 or more"):
        workers_and_threads(0, runs, cores, gpus)


@pytest.mark.parametrize("gpus, devices", [(0, ["auto"] * 3), (1, ["auto"] * 3),
                                           (2, ["cuda:0", "cuda:1", "cuda:0"])])  # fmt: skip
def test_workers_are_handed_whole_descriptions(jobs, monkeypatch, gpus, devices):
    """Another machine might choose another precision, and so train runs of other ids."""
    launched = []
    monkeypatch.setattr("resnet_study.system.machine.gpu_count", lambda _: gpus)
    sweeper = resnet_study_sweeper.StudySweeper(max_batch_size=None)
    sweeper.config = OmegaConf.create({"hydra": {"launcher": {"n_jobs": -1}}})
    sweeper.launcher = SimpleNamespace(
        joblib={"n_jobs": -1},
        launch=lambda overrides, initial_job_idx: launched.extend(overrides) or [],
    )
    sweeper.runs = 3
    sweeper._launch(jobs(0, 1, 2), StopRequest())
    words = [job[0].removeprefix("+run_config=") for job in launched]
    found = [handed_down(word)[1] for word in words]
    assert [config.device for config in found] == devices
    asked = jobs(0, 1, 2)
    assert [c.to_mapping() | {"device": "auto"} for c in found] == [c.to_mapping() for c in asked]
    assert [job_folder(job) for job in launched] == [folder_of(config) for config in asked]
    assert sweeper.launcher.joblib["n_jobs"] > 0


def test_a_result_without_a_finished_run_ends_the_sweep_and_names_both_folders(jobs):
    """As of a launcher whose machines do not share this folder."""
    sweeper = resnet_study_sweeper.StudySweeper(max_batch_size=None)
    choices = {"hydra/launcher": "far"}
    sweeper.config = OmegaConf.create({"hydra": {"launcher": {}, "runtime": {"choices": choices}}})
    done = JobReturn(status=JobStatus.COMPLETED, working_dir="/far/away")
    done.return_value = 7.0
    sweeper.launcher = SimpleNamespace(launch=lambda *_, **__: [done])
    sweeper.runs = 1
    (config,) = jobs(0)
    with pytest.raises(
        StudyError, match="hydra/launcher=far: says that a run has finished in "
    ) as e:
        sweeper._launch([config], StopRequest())
    assert f"but {folder_of(config)} holds none" in str(e.value)
    for error, told in ((NotDone(15), {}), (RuntimeError("no"), {folder_of(config): "no"})):
        sweeper.launcher.launch = lambda *_, error=error, **__: [command_line.as_result(error)]
        assert sweeper._launch([config], StopRequest()) == told


def test_no_state_of_a_folder_starts_a_job_more_often_than_five_times(jobs):
    for state in (None, "running"):
        launcher = Launcher({0: lambda job, state=state: write(job, state) if state else None})
        assert execute(jobs(0), launcher) == 1
        assert len(launcher.launches) == 5


def write(config, state):
    RunFolder.of(config).write_manifest({"state": state})


def test_what_another_sweep_trains_is_waited_for_and_not_started(jobs, monkeypatch):
    held, free = jobs(0, 1)
    launcher = Launcher()
    folder = RunFolder.of(held)
    with ExitStack() as stack:
        assert stack.enter_context(folder.lock(lambda: False))
        naps = iter([None, None, lambda: folder.write_manifest({"state": "finished"})])
        monkeypatch.setattr(sweep.time, "sleep", lambda _: (next(naps, None) or (lambda: None))())
        assert execute([held, free], launcher) == 0
    assert launcher.launches == [[1]]


def test_runs_in_different_folders_are_different_runs(tiny):
    same = [tiny(), tiny(experiment_name="other"), tiny(runs_dir="elsewhere"), tiny()]
    assert len(distinct(same)) == 3


def test_a_stop_reaches_workers_and_no_other_processes():
    """Such as the service of W&B, to which the workers still write."""
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    service = subprocess.Popen(["sleep", "60"])
    try:
        # Until both have become what they are.
        while len({psutil.Process(process.pid).exe() for process in (worker, service)}) < 2:
            time.sleep(0.01)
        sweep._tell_workers(signal.SIGINT)
        assert worker.wait(30) == -signal.SIGTERM
        assert service.poll() is None
    finally:
        for process in (worker, service):
            process.kill()
            process.wait()


def test_a_stop_does_not_cut_a_submission_short():
    # As a terminal does, which sends Ctrl-C to a whole group of processes.
    command = ["sh", "-c", "kill -INT $$; echo submitted; kill -INT $PPID"]
    with StopRequest() as stop, shielded_children():
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout == "submitted\n"
    assert stop.signal_number == signal.SIGINT
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()

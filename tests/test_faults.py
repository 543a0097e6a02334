"""Kills, damage, full disks: what comes out is what would have come out without them."""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import os
import pickle
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import hypothesis.strategies as st
import psutil
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from resnet_study.config import CheckpointConfig, DataConfig, ModelConfig
from resnet_study.data import load_images
from resnet_study.data.cache import cached
from resnet_study.errors import CheckpointError, StorageError, StudyError, StudyWarning
from resnet_study.experiment import run
from resnet_study.interruption import Interrupted, StopRequest
from resnet_study.progress import Reporter
from resnet_study.runs import METRICS, MetricsLog, RunFolder
from resnet_study.training import checkpoint as checkpoints

CHECKOUT = Path(__file__).resolve().parent.parent
TIMES = {"seconds", "images_per_second"}

# Children begin with torch imported, so that fifty of them take seconds, not minutes.
forkserver = multiprocessing.get_context("forkserver")
forkserver.set_forkserver_preload(["resnet_study.experiment"])


def curve(folder: Path) -> list[dict[str, str]]:
    rows = csv.DictReader((folder / "metrics.csv").read_text().splitlines())
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows]


def assert_same_end(one: Path, two: Path) -> None:
    """The same weights, momentum and curve, bit for bit."""
    assert curve(one) == curve(two)
    a, b = (checkpoints.read(folder / "checkpoint.pt") for folder in (one, two))
    assert a.network.keys() == b.network.keys()
    assert all(torch.equal(a.network[name], b.network[name]) for name in a.network)
    momenta = [
        [entry["momentum_buffer"] for entry in c.optimizer["state"].values()] for c in (a, b)
    ]
    assert momenta[0]
    assert all(torch.equal(x, y) for x, y in zip(*momenta, strict=True))
    assert a.state["iteration"] == b.state["iteration"]


@pytest.fixture
def config(tiny):
    """A run of 40 iterations that saves its state after each second one."""

    def make(every: int = 2, **changes: object):
        return tiny(
            schedule={"iterations": 40, "milestones": (15, 30), "eval_every": 20},
            checkpoint=CheckpointConfig(every=every),
            **changes,
        )

    return make


@pytest.fixture
def undisturbed(config, tmp_path):
    return run(config(runs_dir=str(tmp_path / "undisturbed"))).folder


def in_child(function, *arguments) -> multiprocessing.Process:
    process = forkserver.Process(target=function, args=arguments)
    process.start()
    return process


@pytest.mark.slow
def test_fifty_kills_at_random_moments(config, undisturbed):
    """SIGKILL whenever, checkpoint writing included, then resume; compared at each end."""
    config = config(every=1)
    folder = RunFolder.of(config)
    warm = in_child(run, config)
    warm.join()
    began = time.monotonic()
    shutil.rmtree(folder.path)
    whole = in_child(run, config)
    whole.join()
    span = time.monotonic() - began
    rng = random.Random(1)
    kills = ends = half_written = 0
    while kills < 50:
        child = in_child(run, config)
        child.join(timeout=rng.uniform(0.1, 0.9) * span)
        if child.is_alive():
            child.kill()
            kills += 1
        child.join()
        half_written += len(list(folder.path.glob(".*.*"))) > 0
        if (record := folder.completed()) is not None:
            assert record.state == "finished"
            assert_same_end(folder.path, undisturbed)
            ends += 1
            shutil.rmtree(folder.path)
    run(config)
    assert_same_end(folder.path, undisturbed)
    assert not list(folder.path.glob(".*.*")), "temporaries were left behind"
    print(f"{kills} kills, {ends + 1} ends, {half_written} kills left a half-written file")


def _killed_at(config, call: int) -> None:
    """Trains, and dies at the given call that renames a file."""
    calls = 0
    rename = Path.replace

    def deadly(self, target):
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return rename(self, target)

    Path.replace = deadly
    run(config)


def test_a_kill_at_every_rename_of_a_checkpoint(config, undisturbed):
    """Each step of saving: temporary, rotation, new name, manifest."""
    config = config(every=10)
    folder = RunFolder.of(config)
    # Config, manifest, metrics and manifest come first; then four per checkpoint.
    for call in range(1, 20):
        child = in_child(_killed_at, config, call)
        child.join()
        assert child.exitcode in (0, -signal.SIGKILL)
        run(config)
        assert_same_end(folder.path, undisturbed)
        shutil.rmtree(folder.path)


class Stop(Reporter):
    """Sends a signal to this process after an iteration."""

    def __init__(self, at: int, number: int) -> None:
        self.at, self.number = at, number

    def iteration(self, completed):
        if completed == self.at:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR2])
def test_a_signal_saves_the_state_and_the_run_goes_on(number, config, undisturbed):
    config = config(every=1000)
    with pytest.raises(Interrupted) as caught:
        run(config, Stop(17, number))
    assert (caught.value.signal_number, caught.value.iteration) == (number, 17)
    folder = RunFolder.of(config)
    assert checkpoints.read(folder.checkpoint_file).state["iteration"] == 17
    record = run(config)
    assert [entry["iteration"] for entry in record.manifest["resumed"]] == [17]
    assert_same_end(folder.path, undisturbed)


def test_handlers_are_given_back(config):
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)]
    run(config())
    after = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)]
    assert after == before
    assert StopRequest.active is None


def test_warmup_and_running_sums_survive(tiny, tmp_path):
    """Stopped between two rows and within a warm-up that ends by error."""
    from resnet_study.config import ScheduleConfig, WarmupConfig

    schedule = ScheduleConfig(
        iterations=40,
        batch_size=16,
        milestones=(30,),
        log_every=7,
        eval_every=20,
        warmup=WarmupConfig(learning_rate=0.001, until_error=95.0, min_depth=0),
    )

    def make(where):
        return tiny(runs_dir=str(tmp_path / where)).__class__(
            **{
                **vars(tiny(runs_dir=str(tmp_path / where))),
                "schedule": schedule,
                "data": DataConfig(
                    name="shapes", resolution=8, train_images=200, cache=tiny().data.cache
                ),
            }
        )

    whole = run(make("whole"))
    for at in (3, 11, 25):
        with pytest.raises(Interrupted):
            run(make("cut"), Stop(at, signal.SIGTERM))
    cut = run(make("cut"))
    rates = {row["learning_rate"] for row in curve(whole.folder)}
    assert {"0.001", "0.1"} <= rates
    assert_same_end(cut.folder, whole.folder)


def interrupted_at(config, *iterations: int) -> RunFolder:
    for iteration in iterations:
        with pytest.raises(Interrupted):
            run(config, Stop(iteration, signal.SIGTERM))
    return RunFolder.of(config)


def test_a_damaged_checkpoint_is_replaced_by_the_one_before(config, undisturbed):
    config = config(every=1000)
    folder = interrupted_at(config, 11, 23)
    content = bytearray(folder.checkpoint_file.read_bytes())
    content[len(content) // 2] ^= 1
    folder.checkpoint_file.write_bytes(content)
    with pytest.warns(StudyWarning, match="damaged: its checksum differs; going on from the"):
        record = run(config)
    assert record.manifest["resumed"][-1]["iteration"] == 11
    assert_same_end(folder.path, undisturbed)


def test_with_all_checkpoints_damaged_the_run_is_refused(config):
    config = config(every=1000)
    folder = interrupted_at(config, 11, 23)
    for path in (folder.checkpoint_file, folder.previous_checkpoint_file):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="is damaged and there is no other; delete"):
        run(config)


def test_damaged_or_missing_metrics_are_restored_from_the_checkpoint(config, undisturbed):
    config = config(every=1000)
    for damage in (lambda f: f.unlink(), lambda f: f.write_bytes(b"\0" * 100)):
        folder = interrupted_at(config, 23)
        damage(folder.metrics_file)
        run(config)
        assert_same_end(folder.path, undisturbed)
        shutil.rmtree(folder.path)


def test_a_checkpoint_of_another_description_is_refused_by_field(config):
    ours = config(every=1000)
    theirs = config(every=1000, model=ModelConfig(depth=14, width=4))
    source = interrupted_at(theirs, 11)
    target = interrupted_at(ours, 11)
    shutil.copy(source.checkpoint_file, target.checkpoint_file)
    with pytest.raises(CheckpointError, match=r"was made with model\.depth 14; this run has 8"):
        run(ours)


def test_a_checkpoint_of_other_images_is_refused(config, tmp_path):
    config = config(every=1000)
    folder = interrupted_at(config, 11)
    saved = checkpoints.read(folder.checkpoint_file)
    checkpoints.write(
        folder.checkpoint_file, checkpoints.Checkpoint(**{**vars(saved), "data": "0" * 12})
    )
    with pytest.raises(CheckpointError, match="was made with other images"):
        run(config)


def test_another_version_of_torch_is_warned_of(config):
    config = config(every=1000)
    folder = interrupted_at(config, 11)
    saved = checkpoints.read(folder.checkpoint_file)
    versions = {**saved.versions, "torch": "2.6.0"}
    changed = checkpoints.Checkpoint(**{**vars(saved), "versions": versions})
    checkpoints.write(folder.checkpoint_file, changed)
    with pytest.warns(StudyWarning, match=r"was made with torch 2\.6\.0"):
        assert run(config).state == "finished"


class Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("disguise", ["bare pickle", "torch file", "valid checksum"])
def test_a_checkpoint_from_elsewhere_runs_no_code(disguise, tmp_path, config):
    import hashlib

    marker = tmp_path / "executed"
    stream = io.BytesIO()
    if disguise == "bare pickle":
        pickle.dump(Payload(marker), stream)
    else:
        torch.save({"network": Payload(marker)}, stream)
    content = stream.getvalue()
    if disguise == "valid checksum":
        digest = hashlib.sha256(content).hexdigest().encode()
        content = checkpoints._MAGIC + digest + b"\n" + content
    config = config(every=1000)
    folder = interrupted_at(config, 11)
    folder.checkpoint_file.write_bytes(content)
    with pytest.raises(CheckpointError):
        run(config)
    assert not marker.exists()
    # The payload is live: an unguarded load would have run it.
    if disguise == "torch file":
        torch.load(io.BytesIO(content), weights_only=False)
        assert marker.exists()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The bytes of a small checkpoint, and what they mean."""
    path = tmp_path_factory.mktemp("saved") / "checkpoint.pt"
    weights = {"weight": torch.arange(6.0)}
    checkpoints.write(
        path, checkpoints.Checkpoint({}, "data", {}, weights, {}, {"iteration": 3}, "text")
    )
    return path.read_bytes()


damages = st.one_of(
    st.tuples(st.just("cut"), st.integers(0, 10**6), st.just(0)),
    st.tuples(st.just("flip"), st.integers(0, 10**6), st.integers(1, 255)),
    st.tuples(st.just("extend"), st.integers(0, 50), st.integers(0, 255)),
)


def damaged(content: bytes, damage: tuple[str, int, int]) -> bytes:
    kind, place, value = damage
    if kind == "cut":
        return content[: place % len(content)]
    if kind == "flip":
        place %= len(content)
        return content[:place] + bytes([content[place] ^ value]) + content[place + 1 :]
    return content + bytes([value]) * place


calm = settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@calm
@given(damage=damages)
def test_a_damaged_checkpoint_is_refused_or_exact(damage, saved, tmp_path):
    content = damaged(saved, damage)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    try:
        read = checkpoints.read(path)
    except CheckpointError:
        assert content != saved
    else:
        assert content == saved
        assert read.network["weight"].tolist() == [0, 1, 2, 3, 4, 5]


@calm
@given(damage=damages, finished=st.booleans(), unsealed=st.integers(0, 3))
def test_damaged_metrics_are_refused_or_whole_rows(damage, finished, unsealed, tmp_path):
    """Damage to the sealed part is an error; a torn tail ends at the last whole row."""
    folder = RunFolder(tmp_path / "run")
    log = MetricsLog(folder.metrics_file)
    for i in range(1, 5):
        log.append({"iteration": i, "train_loss": 1 / i, "train_error": 50.0})
    seal = log.seal()
    state = "finished" if finished else "running"
    for i in range(5, 5 + (0 if finished else unsealed)):
        log.append({"iteration": i, "train_loss": 1 / i})
    folder.write_manifest({"state": state, "metrics": seal})
    whole = folder.metrics_file.read_bytes()
    kind, place, _ = damage
    content = damaged(whole, damage)
    if kind == "flip" and place % len(whole) >= seal["bytes"]:
        return  # rows after the last checkpoint are dropped by a resume, and not sealed
    if kind == "extend" and not finished:
        content = whole + b"9" * place
    folder.metrics_file.write_bytes(content)
    try:
        text = folder.read_metrics()
    except StorageError:
        assert content != whole
        assert finished or content[: seal["bytes"]] != whole[: seal["bytes"]]
    else:
        assert whole.decode().startswith(text)
        assert text.endswith("\n")
        assert len(text) >= seal["bytes"]


def _train_with_small_files(config, queue) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
    try:
        run(config)
    except StudyError as error:
        queue.put(str(error))


def test_a_full_disk_is_named_and_leaves_earlier_results(config, undisturbed):
    config = config(every=1000)
    folder = interrupted_at(config, 23)
    earlier = folder.checkpoint_file.read_bytes()
    assert len(earlier) > 30_000
    queue = forkserver.Queue()
    child = in_child(_train_with_small_files, config, queue)
    message = queue.get(timeout=60)
    child.join()
    assert message.startswith(f"file={folder.path}/checkpoint")
    assert "cannot be written (File too large)" in message
    assert folder.checkpoint_file.read_bytes() == earlier
    manifest = folder.read_manifest()
    assert manifest is not None
    assert manifest["state"] == "failed"
    run(config)
    assert_same_end(folder.path, undisturbed)


def test_a_really_full_disk(config, tmp_path):
    """A tmpfs of 200 kB, where the system lets us mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "none", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"mounting a tmpfs is not allowed here: {mounted.stderr.decode().strip()}")
    try:
        config = config(every=1000, runs_dir=str(disk / "runs"))
        folder = interrupted_at(config, 11)
        filler = disk / "filler"
        filler.write_bytes(b"0" * (shutil.disk_usage(disk).free - 8192))
        earlier = folder.checkpoint_file.read_bytes()
        with pytest.raises(StorageError, match="No space left on device"):
            run(config)
        assert folder.checkpoint_file.read_bytes() == earlier
        filler.unlink()
        assert run(config).state == "finished"
    finally:
        subprocess.run(["umount", str(disk)], check=True)


class Remove(Reporter):
    def __init__(self, path: Path) -> None:
        self.path = path

    def row(self, row):
        if row["iteration"] == 9:
            self.path.unlink()


def test_a_file_removed_under_way_is_named(config, undisturbed):
    config = config(every=6)
    folder = RunFolder.of(config)
    with pytest.raises(StorageError, match=r"metrics.csv: cannot be written \(No such file"):
        run(config, Remove(folder.metrics_file))
    run(config)
    assert_same_end(folder.path, undisturbed)


def test_two_processes_may_build_one_cache(tmp_path):
    config = DataConfig(name="shapes", resolution=8, cache=str(tmp_path / "cache"))
    children = [in_child(load_images, config) for _ in range(2)]
    for child in children:
        child.join()
        assert child.exitcode == 0
    assert len(list((tmp_path / "cache").glob("*.npz"))) == 1
    assert not list((tmp_path / "cache").glob(".*"))


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(damage=damages)
def test_a_damaged_cache_is_made_again(damage, tmp_path):
    from resnet_study.data.shapes import generate

    path = tmp_path / "cache.npz"
    path.unlink(missing_ok=True)
    intact = cached(path, lambda: generate(10, 10)).fingerprint()
    path.write_bytes(damaged(path.read_bytes(), damage))
    builds = []

    def build():
        builds.append(1)
        return generate(10, 10)

    import warnings

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert cached(path, build).fingerprint() == intact
    assert len(builds) == len([w for w in caught if "is damaged" in str(w.message)])


# Sweeps, through the real command line.

SWEEP = [
    "-m",
    "model=plain,residual",
    "model.shortcut=A",
    "model.depth=8,14,20",
    "model.width=4",
    "data.resolution=8",
    "data.train_images=200",
    "schedule.iterations=300",
    "schedule.batch_size=16",
    "schedule.milestones=[150]",
    "schedule.eval_every=100",
    "schedule.log_every=25",
    "schedule.eval_train_images=50",
    "schedule.warmup.iterations=null",
    "checkpoint.every=10",
    "experiment_name=sweep",
]


def start_sweep(runs_dir: Path, cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "resnet_study",
            *SWEEP,
            f"runs_dir={runs_dir}",
            f"data.cache={cache}",
        ],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    return errors


@pytest.fixture(scope="module")
def whole_sweep(tmp_path_factory):
    runs = tmp_path_factory.mktemp("whole")
    cache = tmp_path_factory.mktemp("cache")
    finish(start_sweep(runs, cache))
    assert len(list((runs / "sweep").iterdir())) == 6
    return runs / "sweep", cache


def wait_for_checkpoints(runs_dir: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while len(list(runs_dir.glob("sweep/*/checkpoint.pt"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children(recursive=True)
    return [c for c in children if any("popen_loky" in word for word in c.cmdline())]


def assert_same_sweep(runs: Path, whole: Path) -> None:
    assert {p.name for p in runs.iterdir()} == {p.name for p in whole.iterdir()}
    for folder in runs.iterdir():
        assert json.loads((folder / "manifest.json").read_text())["state"] == "finished"
        assert_same_end(folder, whole / folder.name)


@pytest.mark.slow
def test_a_killed_worker_costs_no_run(whole_sweep, tmp_path):
    whole, cache = whole_sweep
    process = start_sweep(tmp_path, cache)
    for count in (1, 4):
        wait_for_checkpoints(tmp_path, count)
        workers_of(process)[0].kill()
    errors = finish(process)
    assert errors.count("warning: a worker process died") == 2
    assert_same_sweep(tmp_path / "sweep", whole)


@pytest.mark.slow
def test_a_killed_parent_takes_its_workers_along_and_the_sweep_goes_on(whole_sweep, tmp_path):
    whole, cache = whole_sweep
    process = start_sweep(tmp_path, cache)
    wait_for_checkpoints(tmp_path, 3)
    workers = workers_of(process)
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive, "workers outlived their sweep"
    finish(start_sweep(tmp_path, cache))
    assert_same_sweep(tmp_path / "sweep", whole)


@pytest.mark.slow
def test_ctrl_c_stops_promptly_and_says_how_to_go_on(whole_sweep, tmp_path):
    whole, cache = whole_sweep
    process = start_sweep(tmp_path, cache)
    wait_for_checkpoints(tmp_path, 3)
    workers = workers_of(process)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - began < 10
    assert process.returncode == 128 + signal.SIGINT
    assert "Traceback" not in errors
    assert "runs are finished, the others are saved; the same command goes on" in errors
    psutil.wait_procs(workers, timeout=30)
    errors = finish(start_sweep(tmp_path, cache))
    assert_same_sweep(tmp_path / "sweep", whole)
    resumed = [
        json.loads((folder / "manifest.json").read_text())["resumed"]
        for folder in (tmp_path / "sweep").iterdir()
    ]
    assert any(resumed), "no run was saved in the middle"


@pytest.mark.slow
def test_two_sweeps_on_one_folder_share_the_work(whole_sweep, tmp_path):
    whole, cache = whole_sweep
    sweeps = [start_sweep(tmp_path, cache) for _ in range(2)]
    for sweep in sweeps:
        finish(sweep)
    assert_same_sweep(tmp_path / "sweep", whole)
    for folder in (tmp_path / "sweep").iterdir():
        manifest = json.loads((folder / "manifest.json").read_text())
        assert not manifest["resumed"], "a run was trained by both"
        rows = (folder / "metrics.csv").read_text().splitlines()
        assert rows[0] == ",".join(METRICS)


@pytest.mark.slow
def test_a_failing_run_leaves_the_others_alone(whole_sweep, tmp_path):
    whole, cache = whole_sweep
    broken = next(whole.glob("plain-014*")).name
    (tmp_path / "sweep" / broken).mkdir(parents=True)
    # A folder where a file belongs: this run cannot save, the others can.
    (tmp_path / "sweep" / broken / "checkpoint.new").mkdir()
    process = start_sweep(tmp_path, cache)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 1
    assert f"failed: {tmp_path / 'sweep' / broken}" in errors
    assert "1 of 6 runs are not finished; the same command goes on with them" in errors
    assert "StorageError" in errors
    assert "StorageError" in (tmp_path / "sweep" / broken / "failure.txt").read_text()
    (tmp_path / "sweep" / broken / "checkpoint.new").rmdir()
    errors = finish(start_sweep(tmp_path, cache))
    assert "5 finished, 1 to train" in errors
    assert_same_sweep(tmp_path / "sweep", whole)

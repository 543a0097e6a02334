"""A run of Weights & Biases holds what metrics.csv holds, each row once."""

import csv
import json
import signal
import struct
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from resnet_study.experiment import run
from resnet_study.store.folder import METRICS, RunFolder
from resnet_study.store.wandb import WandbLog, _last_iteration
from resnet_study.system.errors import ConfigError
from resnet_study.training.events import Row
from tests.comparison import CHECKOUT, interrupted_at


class FakeRun:
    """A run on a server that keeps rows and drops steps that do not grow, as W&B's does."""

    offline = False

    def __init__(self, module: "FakeWandb", **settings) -> None:
        self.id = settings["id"] or f"id{len(module.rows)}"
        self.rows = module.rows.setdefault(self.id, {})
        self.module, self.step = module, max(self.rows, default=-1) + 1
        module.starts.append(settings)

    def define_metric(self, name, step_metric):
        assert (name, step_metric) == ("*", "iteration")

    def log(self, values, step, commit):
        assert commit
        if self.module.broken:
            raise ConnectionResetError("Connection lost")
        if step < self.step:
            self.module.dropped.append(step)
            return
        self.rows[step], self.step = values, step + 1

    def finish(self, exit_code):
        self.module.exits.append(exit_code)


class FakeWandb(ModuleType):
    """As much of the package wandb as is used, with a server of its own."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.__spec__ = ModuleSpec("wandb", None, origin="fake")
        self.rows: dict[str, dict] = {}
        self.starts: list[dict] = []
        self.exits: list[int] = []
        self.dropped: list[int] = []
        # Whether it knows no user, and whether its connections break.
        self.strangers = self.broken = False

    def Settings(self, **settings):  # noqa: N802
        return settings

    def init(self, **settings):
        if self.strangers:
            raise RuntimeError("No API key\nconfigured.")
        return FakeRun(self, **settings)


@pytest.fixture
def server(monkeypatch) -> FakeWandb:
    module = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


def table(folder: RunFolder) -> dict[int, dict[str, float]]:
    """The rows of metrics.csv by iteration, without what is empty."""
    rows = csv.DictReader(folder.metrics_file.read_text().splitlines())
    filled = ({name: float(value) for name, value in row.items() if value} for row in rows)
    return {int(row["iteration"]): row for row in filled}


@pytest.mark.parametrize("first", ["wandb", "none"])
def test_a_resumed_run_goes_on_where_it_was(tiny, server, first):
    """Also one that began without the logger: its first rows are sent belatedly."""
    folder = interrupted_at(tiny(logger=first), 7)
    assert run(tiny(logger="wandb")).folder == folder.path
    [(name, rows)] = server.rows.items()
    assert rows == table(folder)
    assert not server.dropped
    assert folder.read_manifest()["wandb_id"] == name
    assert server.exits == [1, 0][first == "none" :]
    assert all(start["resume"] == "allow" for start in server.starts)


def test_a_folder_that_is_trained_anew_is_another_run(tiny, server):
    """W&B would drop all rows of a second run with the id of the first."""
    folder = RunFolder(run(tiny(logger="wandb")).folder)
    folder.manifest_file.unlink()
    folder.checkpoint_file.unlink()
    run(tiny(logger="wandb"))
    assert len(server.rows) == 2
    assert not server.dropped


def test_rows_of_a_process_that_was_killed_are_not_sent_again(tiny, server, tmp_path):
    """It had sent rows beyond the checkpoint from which the next one goes on."""
    manifest: dict = {}
    killed = WandbLog(tiny(), tmp_path, manifest)
    for iteration in (10, 20, 30):
        killed.append(Row(iteration, train_error=50.0))
    after = WandbLog(tiny(), tmp_path, manifest)
    for iteration in (10, 20, 30, 40):
        after.append(Row(iteration, train_error=40.0))
    [rows] = server.rows.values()
    assert {step: row["train_error"] for step, row in rows.items()} == {
        **dict.fromkeys((10, 20, 30), 50.0),
        40: 40.0,
    }
    assert not server.dropped


def test_two_loggers_show_the_same(tiny, server):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    folder = RunFolder(run(tiny(logger=("tensorboard", "wandb"))).folder)
    assert list(folder.path.glob("events*"))
    assert list(server.rows.values()) == [table(folder)]


def test_seeds_are_a_group_and_networks_can_be_compared(tiny, server, tmp_path):
    """W&B draws the mean of a group, as the study's figures do over seeds."""
    for config in (tiny(), tiny(seed=3), tiny(precision="bf16"), tiny(experiment_name="a/b")):
        WandbLog(config, tmp_path, {})
    first, same, other, elsewhere = server.starts
    assert first["group"] == same["group"] == "default-" + tiny().run_id.replace("-s0-", "-")
    assert len({first["group"], other["group"], elsewhere["group"]}) == 3
    # W&B allows no slash in the address of a group's page.
    assert "/" not in elsewhere["group"]
    assert (same["config"]["family"], same["config"]["depth"]) == ("residual-A", 8)
    assert same["config"]["schedule"]["iterations"] == tiny().schedule.iterations
    assert (same["name"], same["project"]) == (tiny(seed=3).run_id, "resnet_study")


def test_what_stops_wandb_is_one_line(tiny, server):
    said = r"logger=wandb: W&B stopped \(No API key configured.\); run wandb login, or set WANDB_MO"
    server.strangers = True
    with pytest.raises(ConfigError, match=said):
        run(tiny(logger="wandb"))
    server.strangers, server.broken = False, True
    with pytest.raises(ConfigError, match=r"\(Connection lost\); type the same command again"):
        run(tiny(logger="wandb"))


def test_a_row_on_the_border_of_two_blocks_is_found(tmp_path):
    """W&B's files have a header of 7 bytes there, in the middle of what they record."""
    file = tmp_path / "wandb/offline-run-1-id/run-id.wandb"
    file.parent.mkdir(parents=True)
    record = b"\x12\x05_step\x82\x01\x03370"
    for before in range(len(record) + 1):
        # What follows may look like another digit.
        blocks = bytes(32_768 - before) + record[:before], b"5555555" + record[before:] + b"5"
        file.write_bytes(b"".join(blocks))
        assert _last_iteration(tmp_path, "id") == 370, before


# From here on with the package itself, offline.


def parts(folder: Path) -> list[list[dict[str, float]]]:
    """The rows in each of W&B's files of a run, oldest first, as W&B's own classes read them."""
    from wandb.proto.wandb_internal_pb2 import Record

    found = []
    for file in sorted(folder.glob("wandb/offline-run-*/run-*.wandb")):
        content, at, record, rows = file.read_bytes(), 7, b"", []
        # A log in LevelDB's format: pieces of records, none of which crosses 32 KiB.
        while at + 7 <= len(content):
            if (left := 32_768 - at % 32_768) < 7:
                at += left
                continue
            _checksum, length, kind = struct.unpack_from("<IHB", content, at)
            record, at = record + content[at + 7 : at + 7 + length], at + 7 + length
            if at > len(content):
                break
            if kind in (1, 4):
                items = Record.FromString(record).history.item
                row = {i.key or i.nested_key[0]: json.loads(i.value_json) for i in items}
                rows += [row] if row else []
                record = b""
        found.append(rows)
    return found


@pytest.fixture
def offline(monkeypatch, tmp_path):
    pytest.importorskip("wandb", reason="the extra wandb is not installed")
    # W&B's process of this one, which knows of no end of a process that is killed.
    monkeypatch.delenv("WANDB_SERVICE", raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "settings"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))


@pytest.mark.slow
def test_offline_a_resumed_run_adds_the_rows_that_lack(tiny, offline):
    folder = interrupted_at(tiny(logger="wandb"), 7)
    run(tiny(logger="wandb"))
    before, after = parts(folder.path)
    assert before
    assert after
    rows = [{name: row[name] for name in METRICS if name in row} for row in [*before, *after]]
    assert rows == list(table(folder).values())
    assert [row["_step"] for row in [*before, *after]] == list(table(folder))
    assert len({file.name for file in folder.path.glob("wandb/*/*.wandb")}) == 1


@pytest.mark.slow
def test_offline_rows_that_a_killed_process_took_along_are_sent(tiny, offline, tmp_path):
    """W&B writes its file every 15 seconds, and not when its process is killed."""
    code = (
        "import json, os, signal, sys; from pathlib import Path\n"
        "from resnet_study.config import RunConfig; from resnet_study.store.wandb import WandbLog\n"
        "from resnet_study.training.events import Row\n"
        "manifest = json.loads(sys.argv[2])\n"
        "log = WandbLog(RunConfig(), Path(sys.argv[1]), manifest)\n"
        "print(json.dumps(manifest), flush=True)\n"
        "for iteration in range(10, int(sys.argv[3]) + 1, 10):\n"
        "    log.append(Row(iteration, train_error=float(sys.argv[3])))\n"
        "log.close(True) if sys.argv[4] == 'ends' else os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    manifest = "{}"
    for last, how, status in ((20, "ends", 0), (40, "killed", -signal.SIGKILL), (50, "ends", 0)):
        line = [sys.executable, "-c", code, str(tmp_path), manifest, str(last), how]
        done = subprocess.run(line, cwd=CHECKOUT, capture_output=True, text=True)
        assert done.returncode == status, done.stderr
        manifest = done.stdout.splitlines()[0]
    rows = [(row["iteration"], row["train_error"]) for part in parts(tmp_path) for row in part]
    assert rows == [(10, 20), (20, 20), (30, 50), (40, 50), (50, 50)]


@pytest.mark.slow
def test_the_last_row_is_found_in_files_of_several_blocks(tiny, offline, tmp_path):
    manifest: dict = {}
    log = WandbLog(tiny(), tmp_path, manifest)
    for iteration in range(1, 301):
        log.append(Row(iteration, train_error=iteration / 7, test_error=iteration / 3))
    log.close(True)
    [file] = tmp_path.glob("wandb/offline-run-*/*.wandb")
    content = file.read_bytes()
    assert len(content) > 3 * 32_768
    assert _last_iteration(tmp_path, manifest["wandb_id"]) == 300
    assert _last_iteration(tmp_path, "another") == 0
    for end in range(len(content) - 40_000, len(content), 3_001):
        file.write_bytes(content[:end])
        [kept] = parts(tmp_path)
        assert 0 <= _last_iteration(tmp_path, manifest["wandb_id"]) - kept[-1]["_step"] <= 1

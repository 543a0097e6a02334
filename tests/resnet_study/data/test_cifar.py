"""CIFAR-10, found, unpacked, downloaded or refused, from a small stand-in that is made here."""

import hashlib
import os
import pickle
import shutil
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from torchvision.datasets import CIFAR10

from resnet_study.config import DataConfig, RunConfig
from resnet_study.data import open_dataset
from resnet_study.system import locks
from resnet_study.system.errors import DataError

UNPACKED, PACKED = "cifar-10-batches-py", "cifar-10-python.tar.gz"
NOWHERE = rf"{PACKED} or its files are missing, and the download failed \(.+\);"


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def kept(folder: Path) -> list[str]:
    """All files and folders below a folder, apart from locks."""
    paths = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix != ".lock")
    return sorted(paths)


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A small CIFAR-10 archive that torchvision takes for the true one; no other is to be had.

    It has five training batches of 20 images and 20 test images, and lies beside its files.
    """
    made, rng = tmp_path / "made", np.random.default_rng(0)
    train = [f"data_batch_{i}" for i in range(1, 6)]
    (made / UNPACKED).mkdir(parents=True)
    for name in (*train, "test_batch"):
        images = rng.integers(0, 256, (20, 3072), np.uint8)
        batch = {"data": images, "labels": [*range(10)] * 2}
        (made / UNPACKED / name).write_bytes(pickle.dumps(batch))
    meta = {"label_names": [f"class {i}" for i in range(10)]}
    (made / UNPACKED / "batches.meta").write_bytes(pickle.dumps(meta))
    packed = Path(shutil.make_archive(str(made / "cifar-10-python"), "gztar", made, UNPACKED))
    sums = {path.name: md5(path) for path in (made / UNPACKED).iterdir()}
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(packed))
    monkeypatch.setattr(CIFAR10, "train_list", [[name, sums[name]] for name in train])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": sums["batches.meta"]})
    monkeypatch.setattr(CIFAR10, "url", (tmp_path / "nowhere.tar.gz").as_uri())
    # The machine's own copies are elsewhere.
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return packed


class Silent(SimpleHTTPRequestHandler):
    """Says nothing of requests."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(archive, monkeypatch) -> Iterator[Path]:
    """A copy of the archive that a server of this process has."""
    folder = put(archive, "../served", PACKED)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=folder)) as server:
        Thread(target=server.serve_forever, args=(0.01,)).start()
        monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{server.server_port}/{PACKED}")
        yield folder / PACKED
        server.shutdown()


def load(root: object = "data") -> object:
    return open_dataset(DataConfig(name="cifar10", root=str(root)))


def put(archive: Path, folder: Path | str, *names: str) -> Path:
    """Copies the archive, or the unpacked files, into a folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        copy = shutil.copytree if (archive.parent / name).is_dir() else shutil.copy
        copy(archive.parent / name, folder / name)
    return folder


def test_an_archive_is_unpacked_once(archive):
    put(archive, "data", PACKED)
    images = load()
    assert images.train_images.shape == (100, 3, 32, 32)
    assert images.train_labels[:12].tolist() == [*range(10), 0, 1]
    assert images.classes[3] == "class 3"
    assert kept(Path("data")) == kept(archive.parent)
    Path("data", PACKED).unlink()
    assert load().fingerprint() == images.fingerprint()


@pytest.mark.parametrize(
    ("folder", "root"),
    [
        ("given", "given"),
        ("given", f"given/{UNPACKED}"),
        ("given", f"given/{PACKED}"),
        ("~/given", "~/given"),
        ("data", "elsewhere"),
        ("../torch", "data"),
        ("../torch/datasets", "data"),
        ("data", None),
    ],
)
def test_whole_files_are_found_and_read_without_a_lock(folder, root, archive, monkeypatch):
    """A lock needs a folder that can be written."""
    monkeypatch.setenv("HOME", str(Path("home").absolute()))
    put(archive, Path(folder).expanduser(), UNPACKED)
    before = kept(Path("..").resolve())
    monkeypatch.setattr(locks, "locked", lambda *_: pytest.fail("locked"))
    config = DataConfig(name="cifar10", root=root)
    assert open_dataset(config).fingerprint() == load(archive.parent).fingerprint()
    assert kept(Path("..").resolve()) == before
    assert not [*Path("..").rglob("*.lock")]
    assert RunConfig(data=config).run_id == RunConfig().run_id


@pytest.mark.parametrize("root", ["read_only", "read_only/new", "file"])
def test_what_the_root_cannot_take_is_downloaded_into_the_cache(root, served, monkeypatch):
    Path("read_only").mkdir()
    Path("file").touch()
    monkeypatch.setattr(os, "access", lambda path, _: "read_only" not in str(path))
    images = load(root)
    served.unlink()
    assert load(root).fingerprint() == images.fingerprint()
    assert kept(Path("read_only")) == []
    assert Path("data/cache", UNPACKED).is_dir()


def test_an_archive_in_a_read_only_folder_is_unpacked_into_the_cache(archive, monkeypatch):
    put(archive, "../torch", PACKED)
    monkeypatch.setattr(os, "access", lambda path, _: "torch" not in str(path))
    images = load("elsewhere")
    assert len(images.test_labels) == 20
    assert kept(Path("../torch")) == [PACKED]
    Path("../torch", PACKED).unlink()
    assert load("elsewhere").fingerprint() == images.fingerprint()
    assert not Path("elsewhere").exists()


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


BROKEN = [PACKED, f"{UNPACKED}/data_batch_3", f"{UNPACKED}/batches.meta"]


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_named_and_nothing_is_left_behind(name, archive, cli):
    put(archive, "data", name.partition("/")[0])
    cut(Path("data", name))
    before = kept(Path("data"))
    ended = cli("data=cifar10", "data.root=data", "schedule.batch_size=10", "data.train_images=50")
    said = f"error: data.root=data/{name}: is broken: its MD5 is not "
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith(said)
    assert ended.stderr.endswith("copy it anew, or delete it to have it downloaded again\n")
    assert "Traceback" not in ended.stderr
    assert kept(Path("data")) == before
    assert not [*Path("..").rglob("*.new")]


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("root", ["elsewhere", "file"])
def test_a_broken_file_elsewhere_is_named_beside_the_root(name, root, archive):
    put(archive, "../torch", name.partition("/")[0])
    cut(Path("../torch", name))
    Path("file").touch()
    words = (
        rf"^data.root={root}: {NOWHERE} "
        rf"\S+/torch/{name} is broken: its MD5 is not \w+; copy it anew, or delete it to have"
    )
    with pytest.raises(DataError, match=words):
        load(root)


def refused(path: Path, **_: object) -> os.stat_result:
    if path.name == PACKED:
        raise PermissionError(13, "Permission denied")
    return os.stat(path)  # noqa: PTH116 - what is replaced


def test_a_file_that_cannot_be_read_is_named(archive, monkeypatch):
    put(archive, "data", PACKED)
    words = rf"^data.root=data.*/{PACKED}:? cannot be read \(Permission denied\); use a folder"
    monkeypatch.setattr("torchvision.datasets.utils.check_md5", lambda path, _: refused(path))
    with pytest.raises(DataError, match=words):
        load()
    # In a folder that may not be searched, nothing is there for torchvision.
    monkeypatch.setattr("torchvision.datasets.utils.check_integrity", lambda *_: False)
    monkeypatch.setattr(Path, "stat", refused)
    with pytest.raises(DataError, match=words):
        load()


def test_a_whole_archive_repairs_its_files(archive):
    put(archive, "data", PACKED, UNPACKED)
    cut(Path("data", UNPACKED, "data_batch_1"))
    Path("data", UNPACKED, "test_batch").unlink()
    assert load().fingerprint() == load(archive.parent).fingerprint()
    assert md5(Path("data", UNPACKED, "data_batch_1")) == CIFAR10.train_list[0][1]


def test_a_whole_copy_elsewhere_makes_up_for_a_broken_one(archive):
    put(archive, "../torch", UNPACKED)
    put(archive, "data", UNPACKED)
    cut(Path("data", UNPACKED, "data_batch_1"))
    assert load().fingerprint() == load(archive.parent).fingerprint()


def test_what_is_nowhere_is_downloaded(archive, served):
    # What a process left that was killed within a download.
    put(archive, f"data/.{UNPACKED}.new", PACKED)
    cut(Path(f"data/.{UNPACKED}.new", PACKED))
    assert load().fingerprint() == load(archive.parent).fingerprint()
    assert [path.name for path in Path("data").iterdir() if path.suffix != ".lock"] == [UNPACKED]


@pytest.mark.parametrize("harm", [Path.unlink, cut])
def test_what_cannot_be_fetched_is_one_line(harm, served):
    harm(served)
    words = (
        rf"data.root=data: {NOWHERE} "
        "use a folder that holds it, or go online$"
    )
    with pytest.raises(DataError, match=words):
        load()
    assert not Path("data").exists()


def test_a_mistyped_root_leaves_what_was_there(archive):
    Path("mine").mkdir()
    for root in ("mine/no/where", "mine"):
        with pytest.raises(DataError, match=f"data.root={root}: {NOWHERE}"):
            load(root)
    assert [*Path().iterdir()] == [Path("mine")]
    assert kept(Path("mine")) == []


def test_a_full_disk_is_one_line_and_leaves_nothing_behind(archive, monkeypatch):
    put(archive, "data", PACKED)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torchvision.datasets.utils.extract_archive", full)
    words = rf"data.root=data: {PACKED} cannot be unpacked \(No space left on device\); use"
    with pytest.raises(DataError, match=words):
        load()
    assert kept(Path("data")) == [PACKED]

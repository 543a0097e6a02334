"""Run folders: locks, manifests, rows."""

from contextlib import suppress

import pytest

from resnet_study.config import RunConfig
from resnet_study.store.folder import METRICS, RunFolder
from resnet_study.store.tables import MetricsTable
from resnet_study.system.errors import StorageError
from resnet_study.system.files import write_text, writing
from resnet_study.training.events import Row


@pytest.fixture
def folder(tmp_path):
    return RunFolder.of(RunConfig(runs_dir=str(tmp_path), experiment_name="e", seed=4))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"state": "done"}', "\xff"])
def test_a_damaged_manifest_is_named(folder, text):
    folder.path.mkdir(parents=True)
    folder.manifest_file.write_text(text, encoding="latin-1")
    with pytest.raises(StorageError, match=r"manifest=\S*manifest.json"):
        folder.read_manifest()


def test_rows_are_written_and_read_whole_and_at_full_precision(folder):
    log = MetricsTable(folder.metrics_file)
    assert folder.last_iteration() == 0
    log.append(Row(5, train_loss=1 / 3, learning_rate=0.1))
    log.append(Row(10, train_loss=2 / 3, test_error=12.5))
    header, first, second = folder.metrics_file.read_text().splitlines()
    assert header == ",".join(METRICS)
    assert first == f"5,,0.1,{1 / 3!r},,,,,,,"
    assert second == f"10,,,{2 / 3!r},,,,,12.5,,"
    with folder.metrics_file.open("a") as stream:
        stream.write("15,0.")
    assert folder.last_iteration() == 10


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "file"
    write_text(path, "old")
    with suppress(RuntimeError), writing(path) as stream:
        stream.write(b"new, but only ha")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    write_text(path, "new caf\udce9")  # A file's name that is not UTF-8.
    assert path.read_text() == r"new caf\udce9"
    with pytest.raises(StorageError, match=r"file=\S*file/inner: cannot be written"):
        write_text(path / "inner", "")

"""Full disks, files removed or damaged under way."""

import resource
import shutil
import warnings
from functools import cache
from unittest.mock import Mock

import pytest

from resnet_study.config import DataConfig
from resnet_study.data import open_dataset
from resnet_study.data.cache import cached
from resnet_study.data.shapes import generate
from resnet_study.experiment import run
from resnet_study.progress import Reporter
from resnet_study.store.folder import RunFolder
from resnet_study.store.tables import MetricsTable
from resnet_study.system.errors import StorageError
from resnet_study.training.events import Row
from tests.comparison import assert_same_end, in_child, interrupted_at
from tests.damage import damaged, damages, example, given, st


@pytest.mark.parametrize("damage", [lambda f: f.unlink(), lambda f: f.write_bytes(b"\0" * 100)])
def test_damaged_or_missing_metrics_are_restored_from_the_checkpoint(damage, config, undisturbed):
    config = config(every=1000)
    folder = interrupted_at(config, 23)
    damage(folder.metrics_file)
    run(config)
    assert_same_end(folder.path, undisturbed)


@given(damage=damages, finished=st.booleans(), unsealed=st.integers(0, 3))
def test_damaged_metrics_are_refused_or_whole_rows(damage, finished, unsealed, tmp_path):
    """Damage to the sealed part is an error; a torn tail ends at the last whole row."""
    folder = RunFolder(tmp_path / "run")
    log = MetricsTable(folder.metrics_file)
    for i in range(1, 5):
        log.append(Row(i, train_loss=1 / i, train_error=50.0))
    seal = log.seal()
    for i in range(5, 5 if finished else 5 + unsealed):
        log.append(Row(i, train_loss=1 / i))
    folder.write_manifest({"state": "finished" if finished else "running", "metrics": seal})
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


def test_a_full_disk_is_named_and_leaves_earlier_results(config, undisturbed):
    config = config(every=1000)
    folder = interrupted_at(config, 23)
    earlier = folder.checkpoint_file.read_bytes()
    assert len(earlier) > 30_000
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
    try:
        named = rf"\Afile={folder.path}/checkpoint.*cannot be written \(File too large\)"
        with pytest.raises(StorageError, match=named):
            run(config)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert folder.checkpoint_file.read_bytes() == earlier
    assert folder.read_manifest()["state"] == "failed"
    run(config)
    assert_same_end(folder.path, undisturbed)


def test_a_run_does_not_start_where_it_would_not_fit(tiny, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StorageError, match="0 MB are free there, and one run needs about"):
        run(tiny())
    assert not (tmp_path / "runs").exists()


def test_a_file_removed_under_way_is_named(config, undisturbed):
    config = config(every=6)
    folder = RunFolder.of(config)
    remover = Reporter()
    remover.row = lambda row: row.iteration == 9 and folder.metrics_file.unlink()
    with pytest.raises(StorageError, match=r"metrics.csv: cannot be written \(No such file"):
        run(config, remover)
    run(config)
    assert_same_end(folder.path, undisturbed)


@pytest.mark.slow
def test_two_processes_may_build_one_cache(tmp_path):
    config = DataConfig(name="shapes", resolution=8, cache=str(tmp_path / "cache"))
    children = [in_child(open_dataset, config) for _ in range(2)]
    for child in children:
        child.join()
        assert child.exitcode == 0
    assert len(list((tmp_path / "cache").glob("*.npz"))) == 1
    assert not list((tmp_path / "cache").glob(".*"))


@cache
def drawn():
    return generate(10, 10)


@given(damage=damages)
@example(damage=("flip", 138, 1))
def test_a_damaged_cache_is_made_again(damage, tmp_path):
    path = tmp_path / "cache.npz"
    path.unlink(missing_ok=True)
    intact = cached(path, drawn).fingerprint()
    path.write_bytes(damaged(path.read_bytes(), damage))
    build = Mock(wraps=drawn)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert cached(path, build).fingerprint() == intact
    assert build.call_count == len([w for w in caught if "is damaged" in str(w.message)])

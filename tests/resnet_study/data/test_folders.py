"""How folders are listed, and which settings a streamed folder takes."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import ImageFolder

from resnet_study.config import RunConfig
from resnet_study.data.folders import list_folder
from resnet_study.data.streamed import StreamedFolder
from resnet_study.system.errors import ConfigError, DataError
from tests.resnet_study.data.test_streamed import config


@pytest.fixture
def photos(varied, tmp_path) -> Path:
    """A copy of the folder, to be changed."""
    return shutil.copytree(varied, tmp_path / "photos")


def test_what_is_listed(varied, cache, photos):
    folder = StreamedFolder(config(varied, cache))
    assert (len(folder.train), len(folder.test), len(folder.classes)) == (60, 24, 4)
    for index, label in enumerate(folder.test.labels):
        path = Path(folder.test.path(index))
        assert path.parent == varied / "val" / folder.classes[label]
        assert path.is_file()
    # The second part may be called test.
    (photos / "val").rename(photos / "test")
    assert len(StreamedFolder(config(photos, cache)).test) == len(folder.test)


def test_a_folder_is_listed_as_torchvision_does(photos):
    (nested := photos / "train/disc/more").mkdir()
    for file in sorted(photos.glob("train/disc/*.*"))[:3]:
        file.rename(nested / file.name.upper())
    (photos / "train/disc/notes.txt").touch()
    expected = ImageFolder(str(photos / "train"))
    # What is hidden is no class and no image, though torchvision takes it for some.
    for folder in ("train", "train/disc", "val", "val/disc"):
        shutil.copytree(photos / "val/ring", photos / folder / ".ipynb_checkpoints")
    (photos / "train/disc/._00000.jpg").write_bytes(b"\0\5\x16\7")
    listing = list_folder(photos, "test")
    assert list(listing.classes) == expected.classes
    assert [listing.train.path(i) for i in range(60)] == [path for path, _ in expected.samples]
    assert listing.train.labels.tolist() == expected.targets


def test_the_folder_may_be_the_current_one(photos, cache, monkeypatch):
    expected = StreamedFolder(config(photos, cache))
    monkeypatch.chdir(photos)
    folder = StreamedFolder(replace(config(photos, cache), root=".", label="photos"))
    assert folder.fingerprint() == expected.fingerprint()
    assert Path(folder.train.path(0)).is_file()


def test_a_folder_may_lie_in_a_hidden_one(varied, cache, tmp_path):
    hidden = Path(shutil.copytree(varied, tmp_path / ".cache/.photos"))
    expected = StreamedFolder(config(varied, cache)).fingerprint()
    assert StreamedFolder(config(hidden, cache)).fingerprint() == expected


def test_a_fingerprint_changes_with_any_file(varied, cache, photos):
    def fingerprint(root: Path = photos) -> str:
        return StreamedFolder(config(root, cache)).fingerprint()

    assert fingerprint() == fingerprint(varied)
    file = next(photos.glob("val/*/*"))
    file.write_bytes(file.read_bytes() + b" ")
    assert fingerprint() != fingerprint(varied)


def test_subsets_are_balanced_and_validation_images_are_held_out(varied, cache):
    settings = {"classes": 3, "validation_images": 9, "train_images": 15}
    folder = StreamedFolder(replace(config(varied, cache), **settings))
    assert np.bincount(folder.train.labels).tolist() == [5, 5, 5]
    assert np.bincount(folder.test.labels).tolist() == [3, 3, 3]
    assert not set(folder.train.paths) & set(folder.test.paths)
    assert all(path.startswith(b"train") for path in folder.test.paths)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (shutil.rmtree, "is not there; use a folder with train/<class>"),
        (
            lambda root: shutil.rmtree(root / "val"),
            r"val: cannot be read \(.*\); use a",
        ),
        (lambda root: shutil.rmtree(root / "val/ring"), "only one of them has ring"),
        (lambda root: (root / "train/empty").mkdir(), "train/empty: holds no images"),
    ],
)
def test_a_folder_of_another_layout_is_one_clear_line(harm, words, photos, cache):
    harm(photos)
    with pytest.raises(DataError, match=rf"^data.root=.*{words}.*\Z"):
        StreamedFolder(config(photos, cache))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"root": None}, "data.root=null: must be a folder with train/<class>/ and val/"),
        ({"resolution": 16}, "data.stream.crop is what a network sees"),
        ({"augment": {"padding": 4}}, "must be 0 for streamed images"),
        ({"stream": {"scale": [200, 480]}}, "two sides of at least data.stream.crop=224"),
        ({"stream": {"scale": [480, 256]}}, "smaller first"),
        ({"stream": {"test_scale": 200}}, "must be at least data.stream.crop=224"),
    ],
)
def test_settings_are_checked(changes, words):
    data = {"name": "streamed_folder", "root": "x", "augment": {"padding": 0}}
    with pytest.raises(ConfigError, match=words):
        RunConfig.from_mapping({"data": data | changes})


def test_what_moves_no_curve_is_not_in_the_id(varied, cache):
    def identity(**stream) -> str:
        return RunConfig(data=config(varied, cache, **stream)).run_id

    assert identity(workers=3, unreadable="skip", views=("single",)) == identity()
    assert identity(upright=False) != identity()

"""What a streamed folder holds, and which settings it takes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from resnet_study.config import AugmentConfig, DataConfig, StreamConfig
from resnet_study.data.stream import StreamedFolder
from resnet_study.errors import ConfigError, DataError
from tests.resnet_study.data.test_streams import SMALL, config


def test_what_is_listed(varied, cache):
    folder = StreamedFolder(config(varied, cache))
    described = folder.describe()
    assert described == {
        "train_images": 60, "test_images": 24, "classes": 4, "height": 32, "width": 32
    }  # fmt: skip
    for files, part in ((folder.train, "train"), (folder.test, "val")):
        for index, label in enumerate(files.labels):
            path = Path(files.path(index))
            assert path.parent == varied / part / folder.classes[label]
            assert path.is_file()


def test_a_folder_may_call_its_second_part_test(varied, cache, tmp_path):
    shutil.copytree(varied, tmp_path / "photos")
    (tmp_path / "photos/val").rename(tmp_path / "photos/test")
    one, other = (StreamedFolder(config(root, cache)) for root in (varied, tmp_path / "photos"))
    assert len(one.test) == len(other.test)


def test_a_fingerprint_changes_with_any_file(varied, cache, tmp_path):
    root = tmp_path / "photos"
    shutil.copytree(varied, root)

    def fingerprint() -> str:
        return StreamedFolder(config(root, cache)).fingerprint()

    first = fingerprint()
    assert first == StreamedFolder(config(varied, cache)).fingerprint()
    file = next(root.glob("val/*/*"))
    content = file.read_bytes()
    file.write_bytes(content + b" ")
    assert fingerprint() != first
    file.write_bytes(content)
    assert fingerprint() == first
    file.rename(file.with_stem("other"))
    assert fingerprint() != first


def test_subsets_are_balanced_and_validation_images_are_held_out(varied, cache):
    folder = StreamedFolder(config(varied, cache, classes=3, validation_images=9, train_images=15))
    assert len(folder.classes) == 3
    assert np.bincount(folder.train.labels).tolist() == [5, 5, 5]
    assert np.bincount(folder.test.labels).tolist() == [3, 3, 3]
    assert not set(folder.train.paths) & set(folder.test.paths)
    assert all(path.startswith(b"train") for path in folder.test.paths)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda root: shutil.rmtree(root), "is not there; allowed is a folder with train/<class>"),
        (lambda root: shutil.rmtree(root / "train"), "has no train/; allowed is a folder"),
        (lambda root: shutil.rmtree(root / "val"), "has no val/; allowed is a folder with train/"),
        (lambda root: shutil.rmtree(root / "val/ring"), "only one of them has ring"),
        (lambda root: _emptied(root / "train/ring"), "valid file for the classes ring"),
        (lambda root: _emptied(root / "train"), "class folder in"),
    ],
)
def test_a_folder_of_another_layout_is_one_clear_line(harm, words, varied, cache, tmp_path):
    root = tmp_path / "photos"
    shutil.copytree(varied, root)
    classes = {path.name for path in (root / "train").iterdir()}
    assert "ring" in classes
    harm(root)
    with pytest.raises(DataError) as caught:
        StreamedFolder(config(root, cache))
    line = str(caught.value)
    assert line.startswith("data.root=")
    assert words in line
    assert "\n" not in line


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"root": None},
            "data.root=null: allowed is a folder with train/<class>/ and val/<class>/",
        ),
        ({"resolution": 16}, "data.stream.crop is what a network sees"),
        ({"augment": AugmentConfig()}, "allowed for streamed images is 0"),
    ],
)
def test_settings_of_images_in_memory_are_refused(changes, words):
    values = {"name": "streamed_folder", "root": "x", "augment": AugmentConfig(padding=0)}
    with pytest.raises(ConfigError, match=words):
        DataConfig(**(values | changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scale": (200, 480)}, "from data.stream.crop=224 on"),
        ({"scale": (480, 256)}, "the smaller first"),
        ({"test_scale": 200}, "data.stream.crop=224 or more"),
        ({"views": ("twenty",)}, "allowed are single, ten_crop, multi_scale"),
        ({"unreadable": "hide"}, "allowed are stop, skip"),
    ],
)
def test_settings_of_streams_are_checked(changes, words):
    with pytest.raises(ConfigError, match=words):
        StreamConfig(**changes)


def test_what_moves_no_curve_is_not_in_the_id(varied, cache):
    same = replace(SMALL, workers=3, unreadable="skip", views=("single",))
    other = replace(SMALL, upright=False)
    known = DataConfig().stream
    assert known == StreamConfig()

    def identity(stream: StreamConfig) -> str:
        from resnet_study.config import RunConfig

        return RunConfig(data=config(varied, cache, stream)).run_id

    assert identity(same) == identity(SMALL) != identity(other)

"""Image folders, from files made here."""

import os
import shutil
import warnings

import numpy as np
import pytest
from PIL import Image

from resnet_study.config import DataConfig
from resnet_study.data import open_dataset
from resnet_study.system.errors import DataError
from tests.pictures import ORIENTATION

RNG = np.random.default_rng(0)


def write_folder(root, sizes=((8, 8),)):
    for part, name in (("train", "cat"), ("train", "dog"), ("test", "cat"), ("test", "dog")):
        folder = root / part / name
        folder.mkdir(parents=True)
        for i in range(6 if part == "train" else 3):
            pixels = RNG.integers(0, 256, (*sizes[i % len(sizes)][::-1], 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{i:04}.png")
    return root


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "photos")


@pytest.fixture
def load(tmp_path):
    """Loads an image folder, with the test's own cache."""

    def call(root, **options):
        cache = str(tmp_path / "cache")
        return open_dataset(DataConfig(name="image_folder", root=str(root), cache=cache, **options))

    return call


def test_folders_are_decoded_in_order_and_reduced_where_that_is_asked(folder, load):
    images = load(folder)
    assert images.classes == ("cat", "dog")
    assert images.train_labels.tolist() == [0] * 6 + [1] * 6
    assert images.test_images.shape == (6, 3, 8, 8)
    with Image.open(folder / "train" / "dog" / "0002.png") as image:
        assert np.array_equal(images.train_images[8], np.asarray(image).transpose(2, 0, 1))
    blocks = images.train_images.reshape(12, 3, 4, 2, 4, 2).mean(axis=(3, 5))
    assert np.abs(load(folder, resolution=4).train_images - blocks).max() <= 0.5


def test_a_folder_in_memory_is_decoded_as_a_streamed_one(folder, load):
    clear = np.zeros((8, 8, 4), np.uint8)
    Image.fromarray(clear).save(folder / "train/cat/0000.png")
    deep = np.full((8, 8), 0x80FF, np.uint16)
    Image.fromarray(deep).save(folder / "train/cat/0001.png")
    (exif := Image.Exif())[ORIENTATION] = 6
    Image.open(folder / "train/cat/0002.png").save(folder / "train/cat/0002.png", exif=exif)
    before = np.asarray(Image.open(folder / "train/cat/0002.png"))
    images = load(folder).train_images
    # What is transparent lies on white; of 16 bits the upper eight are kept.
    assert (images[0].min(), images[1].min(), images[1].max()) == (255, 0x80, 0x80)
    # EXIF orientation 6: the first row is what was on the right.
    assert np.array_equal(images[2], np.rot90(before, -1).transpose(2, 0, 1))


def test_odd_images_are_read_without_a_word_of_pillows(folder, load, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    with warnings.catch_warnings():
        assert len(load(folder).train_images) == 12


def test_the_cache_serves_the_second_time_and_notices_changes(folder, load, monkeypatch):
    first = load(folder)
    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", lambda *_: pytest.fail("decoded again"))
        assert load(folder).fingerprint() == first.fingerprint()
    Image.new("RGB", (8, 8), "red").save(folder / "train" / "cat" / "0000.png")
    assert load(folder).train_images[0, :, 0, 0].tolist() == [255, 0, 0]


def test_images_of_many_sizes_need_a_resolution(tmp_path, load):
    root = write_folder(tmp_path / "photos", sizes=((8, 8), (12, 10)))
    with pytest.raises(DataError, match=r"0001.png: is 12x10 where others are 8x8; use one"):
        load(root)
    assert load(root, resolution=8).train_images.shape[2:] == (8, 8)
    with pytest.raises(DataError, match=r"data.resolution=9: .*0000.png is 8x8"):
        load(root, resolution=9)
    for file in (*root.glob("train/*/*[135].png"), *root.glob("test/*/*[02].png")):
        file.unlink()
    with pytest.raises(DataError, match=r"test/cat/0001.png: is 12x10 where others are 8x8"):
        load(root)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (shutil.rmtree, r"data.root=\S*photos: is not there; use a folder"),
        (lambda root: shutil.rmtree(root / "train"), r"train: cannot be read \(.*\); use a f"),
        (lambda root: [*map(shutil.rmtree, root.glob("*/dog"))], "photos: has 1 class folders"),
        (lambda root: shutil.rmtree(root / "test/dog"), "only one of them has dog"),
        (lambda root: [f.unlink() for f in root.glob("test/dog/*")], "test/dog: holds no images"),
        (
            lambda root: os.truncate(root / "train/cat/0003.png", 60),
            r"^image=\S+/0003.png: cannot be read \(.+\); repair or remove it$",
        ),
        (
            lambda root: (root / "train/cat/0007.png").symlink_to(root / "nowhere"),
            r"^image=\S+/0007.png: cannot be read \(no such file or directory\); repair or",
        ),
        (
            lambda root: (root / "train/cat/again").symlink_to(root / "train"),
            r"^data.root=\S+/again/cat: is counted twice, through a link; remove the link$",
        ),
    ],
)
def test_a_folder_with_a_fault_is_named(harm, words, folder, load, tmp_path):
    harm(folder)
    with pytest.raises(DataError, match=words):
        load(folder)
    assert not list(tmp_path.glob("cache/*.npz"))

"""Selection, reduction and the embedded shapes."""

import numpy as np
import pytest

from resnet_study.config import DataConfig
from resnet_study.data import open_dataset
from resnet_study.data.cache import cached
from resnet_study.data.images import reduce_area
from resnet_study.data.selection import balanced_indices
from resnet_study.data.shapes import FIGURES, generate
from resnet_study.system.errors import DataError


@pytest.fixture(scope="module")
def shapes():
    return generate(train=500, test=200)


def distinct(images):
    return {image.tobytes() for image in images}


def test_shapes_have_ten_balanced_classes_and_no_image_twice(shapes):
    assert shapes.train_images.shape == (500, 3, 32, 32)
    assert np.bincount(shapes.train_labels).tolist() == [50] * 10
    assert np.bincount(shapes.test_labels).tolist() == [20] * 10
    assert shapes.classes == tuple(FIGURES)
    assert len(distinct(shapes.train_images) | distinct(shapes.test_images)) == 700


def test_reduction_by_area_averages_blocks_and_splits_pixels():
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 8), dtype=np.uint8)
    blocks = images.reshape(5, 3, 4, 2, 4, 2).mean(axis=(3, 5))
    assert np.array_equal(reduce_area(images, 4), np.rint(blocks).astype(np.uint8))
    row = np.array([0, 90, 180], dtype=np.uint8)
    # Each of two pixels covers one and a half: (0 + 45) / 1.5 and (45 + 180) / 1.5.
    split = reduce_area(np.broadcast_to(row, (1, 3, 3, 3)), 2)
    assert split[0, 0, 0].tolist() == [30, 150]
    with pytest.raises(DataError, match=r"data\.resolution=64: the images are 8x8"):
        reduce_area(images, 64)


def test_subsets_are_balanced_and_nested():
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(10), 30))
    small, large = (balanced_indices(labels, n, "data.train_images") for n in (50, 105))
    assert np.bincount(labels[small]).tolist() == [5] * 10
    assert set(np.bincount(labels[large])) == {10, 11}
    assert set(small) <= set(large)
    with pytest.raises(DataError, match=r"data\.train_images=301: must be at most the 300"):
        balanced_indices(labels, 301, "data.train_images")


def test_validation_images_leave_the_training_set(shapes):
    split = shapes.configured(DataConfig(name="shapes", validation_images=100))
    assert len(split.train_labels) == 400
    assert np.bincount(split.test_labels).tolist() == [10] * 10
    kept, held_out = distinct(split.train_images), distinct(split.test_images)
    assert not kept & held_out
    assert kept | held_out == distinct(shapes.train_images)
    with pytest.raises(DataError, match="images=500: must be less than all"):
        shapes.configured(DataConfig(name="shapes", validation_images=500))


def test_a_configured_set_is_reduced_split_and_cut(cache):
    chosen = {"resolution": 16, "train_images": 100, "validation_images": 50, "classes": 5}
    images = open_dataset(DataConfig(name="shapes", cache=str(cache), **chosen))
    assert images.train_images.shape == (100, 3, 16, 16)
    assert np.bincount(images.train_labels).tolist() == [20] * 5
    assert np.bincount(images.test_labels).tolist() == [10] * 5


def test_a_damaged_cache_is_named_and_built_again(tmp_path):
    def read():
        return cached(tmp_path / "shapes.npz", lambda: generate(20, 10)).fingerprint()

    first = read()
    content = bytearray((tmp_path / "shapes.npz").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "shapes.npz").write_bytes(content)
    with pytest.warns(UserWarning, match="is damaged"):
        assert read() == first

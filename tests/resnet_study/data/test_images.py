"""Selection, reduction and the embedded shapes."""

import numpy as np
import pytest

from resnet_study.config import DataConfig
from resnet_study.data import load_images
from resnet_study.data.cache import cached
from resnet_study.data.images import balanced_indices, reduce_area, split_validation
from resnet_study.data.shapes import FIGURES, VERSION, generate
from resnet_study.errors import DataError


@pytest.fixture(scope="module")
def shapes():
    return generate(train=500, test=200)


def distinct(images):
    return {image.tobytes() for image in images}


def test_shapes_have_ten_balanced_classes_and_no_image_twice(shapes):
    assert shapes.train_images.shape == (500, 3, 32, 32)
    assert shapes.train_images.dtype == np.uint8
    assert np.bincount(shapes.train_labels).tolist() == [50] * 10
    assert np.bincount(shapes.test_labels).tolist() == [20] * 10
    assert shapes.classes == tuple(FIGURES)
    assert len(distinct(shapes.train_images) | distinct(shapes.test_images)) == 700


# Every hundredth of 500 training images: three channels of four pixels each.
PIXELS = [
    [131, 112, 135, 128, 248, 195, 244, 255, 52, 92, 16, 52],
    [95, 61, 48, 120, 147, 136, 123, 67, 124, 129, 139, 197],
    [114, 182, 157, 174, 132, 188, 178, 179, 49, 2, 0, 6],
    [9, 0, 183, 0, 176, 163, 130, 179, 73, 71, 48, 56],
    [84, 240, 105, 105, 22, 35, 23, 41, 61, 128, 8, 3],
]


def test_the_set_that_ships_does_not_change_without_its_version(shapes):
    """Cached and recorded runs rest on these pixels: change them, change VERSION."""
    assert VERSION == 1
    pixels = shapes.train_images[::100, :, 8::16, 8::16].reshape(5, -1).astype(int)
    # Sine and cosine may round differently elsewhere, which moves a level by one.
    assert np.abs(pixels - np.array(PIXELS)).max() <= 1
    assert generate(train=500, test=200).fingerprint() == shapes.fingerprint()


def test_colour_only_hints_at_the_class(shapes):
    """A nearest-mean rule on average colours is better than chance, and far from enough."""
    colour = shapes.train_images.mean(axis=(2, 3))
    centres = np.stack([colour[shapes.train_labels == k].mean(axis=0) for k in range(10)])
    test = shapes.test_images.mean(axis=(2, 3))
    guess = ((test[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    assert 0.1 < (guess == shapes.test_labels).mean() < 0.4


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
    assert np.array_equal(small, balanced_indices(labels, 50, "data.train_images"))
    with pytest.raises(DataError, match=r"data\.train_images=301: allowed is at most the 300"):
        balanced_indices(labels, 301, "data.train_images")


def test_validation_images_leave_the_training_set(shapes):
    split = split_validation(shapes, 100)
    assert len(split.train_labels) == 400
    assert np.bincount(split.test_labels).tolist() == [10] * 10
    kept, held_out = distinct(split.train_images), distinct(split.test_images)
    assert not kept & held_out
    assert kept | held_out == distinct(shapes.train_images)
    with pytest.raises(DataError, match="images=500: allowed is less than all"):
        split_validation(shapes, 500)


def test_a_configured_set_is_reduced_split_and_cut(cache):
    chosen = {"resolution": 16, "train_images": 100, "validation_images": 50, "classes": 5}
    images = load_images(DataConfig(name="shapes", cache=str(cache), **chosen))
    assert images.train_images.shape == (100, 3, 16, 16)
    assert np.bincount(images.train_labels).tolist() == [20] * 5
    assert np.bincount(images.test_labels).tolist() == [10] * 5
    assert len(images.classes) == 5


def test_a_damaged_cache_is_named_and_built_again(tmp_path):
    def read():
        return cached(tmp_path / "shapes.npz", lambda: generate(20, 10)).fingerprint()

    first = read()
    content = bytearray((tmp_path / "shapes.npz").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "shapes.npz").write_bytes(content)
    with pytest.warns(UserWarning, match="is damaged"):
        assert read() == first
    assert read() == first

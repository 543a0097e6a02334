"""Photographs of any size and mode become the squares that a network sees."""

import numpy as np
import pytest
import torchvision.transforms.functional as reference
from PIL import Image

from resnet_study.config import StreamConfig
from resnet_study.data import decoding
from resnet_study.data.folders import SUFFIXES
from tests.pictures import BROKEN, KINDS


def noise(width: int, height: int) -> Image.Image:
    levels = np.random.default_rng(0).integers(0, 256, (height, width, 3))
    return Image.fromarray(levels.astype(np.uint8))


def scene(width: int = 90, height: int = 60) -> Image.Image:
    """Red to the left, blue to the right, brighter to the bottom."""
    levels = np.zeros((height, width, 3), np.uint8)
    levels[:, : width // 2, 0] = np.linspace(120, 255, height)[:, None]
    levels[:, width // 2 :, 2] = np.linspace(120, 255, height)[:, None]
    return Image.fromarray(levels)


def levels(image: Image.Image | np.ndarray) -> np.ndarray:
    return np.asarray(image).astype(int)


# These keep colours and sides, up to a mean error of their levels.
KEPT = ("jpeg", "progressive", "cmyk", "tiff", "webp", "turned")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_image_is_read_as_rgb(kind: str, tmp_path):
    path = KINDS[kind](scene(), tmp_path / "image")
    assert path.suffix.lower() in SUFFIXES
    image = decoding.read_rgb(str(path), upright=True)
    assert image.mode == "RGB"
    if kind in KEPT:
        assert np.abs(levels(image) - levels(scene())).mean() < 12


def test_levels_sides_and_transparency_are_those_of_the_file(tmp_path):
    def read(kind: str, image: Image.Image, upright: bool = True) -> np.ndarray:
        path = KINDS[kind](image, tmp_path / kind)
        return levels(decoding.read_rgb(str(path), upright))

    grey = levels(scene().convert("L"))[:, :, None]
    assert np.abs(read("deep", scene()) - grey).max() == 0
    # An image stays on its side where that is wanted.
    assert read("turned", scene(), upright=False).shape == (90, 60, 3)
    # What is transparent lies on white.
    shown = read("alpha", Image.new("RGB", (20, 40), "black"))
    assert shown[0].min() > 240
    assert shown[-1].max() < 15


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_an_error(kind: str, tmp_path):
    path = BROKEN[kind](noise(200, 150), tmp_path / "image")
    with pytest.raises(OSError, match=r"."):
        decoding.read_rgb(str(path), upright=True)


@pytest.mark.parametrize("short", [256, 333])
@pytest.mark.parametrize("size", [(500, 375), (375, 500), (20, 140), (1, 1), (800, 600)])
def test_test_views_are_torchvisions(size: tuple[int, int], short: int, tmp_path):
    path = str(tmp_path / "image.bmp")
    noise(*size).save(path)
    whole = reference.resize(noise(*size), short)
    five = [levels(crop) for crop in reference.five_crop(whole, [224, 224])]
    ten = [*five, *(crop[:, ::-1] for crop in five)]
    for kind, expected in (("single", five[4:]), ("ten_crop", ten)):
        views = decoding.test_views(StreamConfig(test_scale=short), kind, path)
        for view, crop in zip(views, expected, strict=True):
            # A level in each of two passes, where a place between pixels is rounded differently.
            assert np.abs(levels(view) - crop).max() <= 2


def test_multi_scale_views_are_whole_images(tmp_path):
    path = tmp_path / "image.png"
    noise(120, 100).save(path)
    views = decoding.test_views(StreamConfig(), "multi_scale", str(path))
    assert [min(view.shape[:2]) for view in views] == list(decoding.SCALES)
    assert np.abs(levels(views[1]) - levels(reference.resize(noise(120, 100), 256))).max() <= 1
    # Of an image that is very long, the centre.
    noise(900, 20).save(path)
    widest = decoding.test_views(StreamConfig(), "multi_scale", str(path))[0]
    assert widest.shape == (224, 4 * 224, 3)


def test_a_drawn_crop_is_the_one_that_was_drawn(tmp_path):
    path = str(tmp_path / "image.png")
    noise(400, 300).save(path)
    for left, top, column, row in [(0.999, 0.999, 176, 76), (0.5, 0.25, 88, 19)]:
        expected = levels(noise(400, 300))[row : row + 224, column : column + 224]
        (found,) = decoding.training_view(StreamConfig(), path, 300, left, top, mirrored=True)
        assert np.array_equal(found, expected[:, ::-1])


def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same(tmp_path):
    path = str(tmp_path / "image.jpg")
    picture = noise(20, 15).resize((2000, 1500), Image.Resampling.BICUBIC)
    picture.save(path, quality=95)
    assert decoding.read_rgb(path, True, 300).size == (500, 375)
    (found,) = decoding.training_view(StreamConfig(), path, 300, 0.5, 0.5, mirrored=False)
    whole = levels(reference.resize(decoding.read_rgb(path, True), 300))
    assert np.abs(found - whole[38:262, 88:312]).mean() < 1

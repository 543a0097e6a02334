"""Image files of any size and mode, decoded to RGB, and the squares that a network sees."""

import warnings
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from resnet_study.config import StreamConfig

Pixels = NDArray[np.uint8]

# Greatest ratio of the sides of a whole view, as memory grows with its size. Of a longer image, it
# shows the centre.
LONGEST = 4.0
# Shorter sides of whole images, for "multi_scale".
SCALES = (224, 256, 384, 480, 640)


def quiet() -> None:
    """Silences Pillow's warnings about odd metadata and large images, not errors."""
    warnings.filterwarnings("ignore", module=r"PIL\b")


def read_rgb(path: str, upright: bool = True, short: int | None = None) -> Image.Image:
    """Reads an image file as RGB.

    Grey images and palettes are converted, 16-bit levels are reduced to 8, and transparent
    images get a white background.

    Args:
        path: The file.
        upright: Whether to turn the image as its EXIF orientation says.
        short: What its shorter side will be reduced to. A JPEG of at least twice that size is
            then decoded at a half, a quarter or an eighth, which is several times as fast.

    Raises:
        Exception: The file is damaged or no image. Decoders raise exceptions of any kind.
    """
    with Image.open(path) as image:
        if short is not None and short < min(image.size):
            factor = short / min(image.size)
            image.draft(None, (round(image.width * factor), round(image.height * factor)))
        image.load()
        if upright:
            # Metadata may be damaged where the image is not.
            with suppress(Exception):
                ImageOps.exif_transpose(image, in_place=True)
        return _as_rgb(image)


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image.copy() if image.readonly else image
    # Older versions of Pillow read 16-bit PNG as 32 bits.
    deep = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG")
    if image.mode in ("I", "F") and not deep:
        raise ValueError(f"mode {image.mode}: levels without a known range")
    if deep:
        levels = np.asarray(image.convert("I")).clip(0, 2**16 - 1) >> 8
        return Image.fromarray(levels.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        shown = image.convert("RGBA")
        ground = Image.new("RGBA", shown.size, "white")
        return Image.alpha_composite(ground, shown).convert("RGB")
    return image.convert("RGB")


def why(error: Exception) -> str:
    """A decoder's reason in a few words, without the path, which the message already has."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    text = " ".join(str(error).split()).split(" '")[0].split(" <_io")[0]
    return text[:80] or type(error).__name__


def resized(size: tuple[int, int], short: int) -> tuple[int, int]:
    """Width and height once the shorter side is `short`, as torchvision rounds them."""
    width, height = size
    if width <= height:
        return short, int(short * height / width)
    return int(short * width / height), short


def window(
    image: Image.Image, short: int, left: int, top: int, width: int, height: int
) -> Image.Image:
    """A rectangle of the image after resizing its shorter side to `short`.

    The pixels are those of resizing (bilinear, with antialiasing) and then cropping. Only the
    rectangle is computed, so large images take no longer.

    Args:
        image: The image at its own size.
        short: Shorter side after resizing, in pixels.
        left: First column, in pixels of the resized image.
        top: First row.
        width: Width of the rectangle.
        height: Height of the rectangle.
    """
    whole = resized(image.size, short)
    across, down = image.width / whole[0], image.height / whole[1]
    box = (
        left * across,
        top * down,
        min((left + width) * across, image.width),
        min((top + height) * down, image.height),
    )
    return image.resize((width, height), Image.Resampling.BILINEAR, box=box)


def training_view(
    stream: StreamConfig, path: str, short: int, left: float, top: float, mirrored: bool
) -> list[Pixels]:
    """The drawn square of an image: one view, uint8 `(crop, crop, 3)`.

    Args:
        stream: Side of the square, and whether images are turned upright.
        path: The file.
        short: Shorter side that the image is resized to.
        left: Place of the square as a share of the possible places, from 0 to below 1.
        top: Likewise.
        mirrored: Whether to mirror it left to right.
    """
    image, crop = read_rgb(path, stream.upright, short), stream.crop
    width, height = resized(image.size, short)
    square = window(
        image, short, int(left * (width - crop + 1)), int(top * (height - crop + 1)), crop, crop
    )
    pixels = np.asarray(square)
    return [pixels[:, ::-1] if mirrored else pixels]


def test_views(stream: StreamConfig, kind: str, path: str) -> list[Pixels]:
    """The views of an image that a network is tested on, each uint8 `(H, W, 3)`.

    Args:
        stream: Side of a square, the image's shorter side, and whether images are turned upright.
        kind: "single": the centre. "ten_crop": four corners and the centre, and all five
            mirrored (Krizhevsky et al. 2012, §4.1). "multi_scale": whole images whose shorter
            sides are `SCALES` (He et al. 2015, §3.4).
        path: The file.
    """
    image, crop, short = read_rgb(path, stream.upright), stream.crop, stream.test_scale
    if kind == "multi_scale":
        return [_whole(image, scale) for scale in SCALES]
    width, height = resized(image.size, short)
    right, bottom = width - crop, height - crop
    places = [(round(right / 2), round(bottom / 2))]
    if kind == "ten_crop":
        places = [(0, 0), (right, 0), (0, bottom), (right, bottom), *places]
    views = [np.asarray(window(image, short, *place, crop, crop)) for place in places]
    return views if kind == "single" else [*views, *(view[:, ::-1] for view in views)]


def _whole(image: Image.Image, short: int) -> Pixels:
    width, height = resized(image.size, short)
    longest = int(LONGEST * short)
    shown = min(width, longest), min(height, longest)
    left, top = (width - shown[0]) // 2, (height - shown[1]) // 2
    return np.asarray(window(image, short, left, top, *shown))

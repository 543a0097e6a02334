"""The embedded data set: textured shapes amid clutter, drawn from formulas.

Ten classes of flat figures, each at a random place, size, angle, colour and texture, over
a textured background with a distracting stroke. The figure's hue hints at the class, so
that a network soon has something to learn from; its outline decides. The set is a function
of `VERSION` alone, up to the last digit of the machine's sine and cosine.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_study.data.images import ImageSet

VERSION = 1
SIDE = 32
TRAIN_IMAGES = 10_000
TEST_IMAGES = 2_000

# float32 throughout; the stubs widen the results of some functions to float64.
Array = NDArray[Any]


def _polygon(corners: int) -> Callable[[Array, Array], Array]:
    def inside(u: Array, v: Array) -> Array:
        angles = np.arange(corners) * 2 * np.pi / corners
        reach = np.cos(np.pi / corners)
        sides = [u * np.cos(a) + v * np.sin(a) for a in angles.astype(np.float32)]
        return np.asarray(reach - np.max(sides, axis=0), dtype=np.float32)

    return inside


def _star(u: Array, v: Array) -> Array:
    spoke = np.abs(np.mod(np.arctan2(v, u) * 5 / (2 * np.pi), 1) - 0.5) * 2
    return np.asarray(0.42 + 0.63 * spoke**1.3 - np.hypot(u, v), dtype=np.float32)


def _box(u: Array, v: Array, half_width: float, half_height: float) -> Array:
    return np.minimum(half_width - np.abs(u), half_height - np.abs(v))


# Each function is positive inside its figure, zero on the outline, and falls off with
# roughly unit slope; figures fit the unit circle.
FIGURES: dict[str, Callable[[Array, Array], Array]] = {
    "disc": lambda u, v: 0.85 - np.hypot(u, v),
    "ring": lambda u, v: 0.24 - np.abs(np.hypot(u, v) - 0.7),
    "triangle": _polygon(3),
    "square": _polygon(4),
    "star": _star,
    "cross": lambda u, v: np.maximum(_box(u, v, 0.95, 0.27), _box(u, v, 0.27, 0.95)),
    "bar": lambda u, v: _box(u, v, 0.98, 0.3),
    "half disc": lambda u, v: np.minimum(0.95 - np.hypot(u, v), v + 0.25),
    "crescent": lambda u, v: np.minimum(0.95 - np.hypot(u, v), np.hypot(u - 0.45, v) - 0.68),
    "corner": lambda u, v: np.maximum(_box(u + 0.55, v, 0.27, 0.85), _box(u, v + 0.55, 0.82, 0.27)),
}


def _mask(inside: Array, pixels_per_unit: Array) -> Array:
    """Soft outline about one pixel wide: 1 inside, 0 outside."""
    return np.clip(inside * pixels_per_unit + 0.5, 0, 1)


def _texture(rng: np.random.Generator, x: Array, y: Array) -> Array:
    """Waves, checks or grain in -1 … 1, `(N, side, side)`, one kind per image."""
    n, side = len(x), x.shape[1]
    angle, phase = rng.uniform(0, 2 * np.pi, (2, n, 1, 1)).astype(np.float32)
    frequency = rng.uniform(2.5, 9, (n, 1, 1)).astype(np.float32)
    along = frequency * (x * np.cos(angle) + y * np.sin(angle)) + phase
    across = frequency * (y * np.cos(angle) - x * np.sin(angle)) + phase
    waves = np.sin(along)
    checks = np.sign(np.sin(along) * np.sin(across))
    grain = rng.uniform(-1, 1, (n, side, side)).astype(np.float32)
    kind = rng.integers(0, 3, (n, 1, 1))
    return np.asarray(np.choose(kind, [waves, checks, grain]), dtype=np.float32)


def _paint(rng: np.random.Generator, color: Array, x: Array, y: Array) -> Array:
    """A textured colour over the whole image, `(N, side, side, 3)`."""
    contrast = rng.uniform(0.0, 0.12, (len(x), 1, 1, 1)).astype(np.float32)
    tint = rng.uniform(0.3, 1, (len(x), 1, 1, 3)).astype(np.float32)
    return np.asarray(color + contrast * tint * _texture(rng, x, y)[..., None])


def _hinting_colors(rng: np.random.Generator, labels: NDArray[np.int64]) -> Array:
    """A colour per label, `(N, 1, 1, 3)`, whose hue is near the class's own.

    The hues of classes are a tenth of the colour circle apart, and each image's hue strays by up
    to 0.12 of it, so every hue belongs to two or three classes.
    """
    n = len(labels)
    hue = labels / len(FIGURES) + rng.uniform(-0.12, 0.12, n)
    saturation, value = rng.uniform(0.4, 1, n), rng.uniform(0.5, 1, n)
    # The usual conversion from hue, saturation and value, for all images at once.
    sector = np.mod(hue[:, None] * 6 + np.array([5, 3, 1]), 6)
    ramp = np.clip(np.minimum(sector, 4 - sector), 0, 1)
    rgb = value[:, None] * (1 - saturation[:, None] * ramp)
    return np.asarray(rgb[:, None, None, :], dtype=np.float32)


def _colors(rng: np.random.Generator, n: int) -> Array:
    return rng.uniform(0, 1, (n, 1, 1, 3)).astype(np.float32)


def _draw(rng: np.random.Generator, labels: NDArray[np.int64], side: int) -> NDArray[np.uint8]:
    """Draws one image per label, `(N, 3, side, side)` uint8."""
    n = len(labels)
    axis = ((np.arange(side) + 0.5) / side * 2 - 1).astype(np.float32)
    x = np.broadcast_to(axis[None, None, :], (n, side, side))
    y = np.broadcast_to(axis[None, :, None], (n, side, side))

    background = _colors(rng, n)
    figure = _hinting_colors(rng, labels)
    # A figure on nearly its own colour could not be seen: take the opposite background.
    near = np.abs(figure - background).max(axis=3, keepdims=True) < 0.35
    background = np.where(near, np.mod(figure + 0.5, 1), background)
    canvas = _paint(rng, background, x, y)

    def blend(mask: Array, paint: Array) -> None:
        canvas[...] += mask[..., None] * (paint - canvas)

    # One stroke of clutter, anywhere, behind the figure.
    cx, cy = rng.uniform(-1, 1, (2, n, 1, 1)).astype(np.float32)
    angle = rng.uniform(0, np.pi, (n, 1, 1)).astype(np.float32)
    length = rng.uniform(0.05, 0.5, (n, 1, 1)).astype(np.float32)
    breadth = rng.uniform(0.04, 0.12, (n, 1, 1)).astype(np.float32)
    u = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
    v = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
    stroke = np.minimum(length - np.abs(u), breadth - np.abs(v))
    blend(_mask(stroke, np.full_like(u, side / 2)), _colors(rng, n))

    size = rng.uniform(0.6, 0.95, (n, 1, 1)).astype(np.float32)
    room = 1.05 - size
    cx, cy = (rng.uniform(-1, 1, (2, n, 1, 1)).astype(np.float32)) * room
    angle = rng.uniform(-0.5, 0.5, (n, 1, 1)).astype(np.float32)
    squeeze = rng.uniform(0.8, 1, (n, 1, 1)).astype(np.float32)
    u = ((x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)) / size
    v = ((y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)) / (size * squeeze)
    inside = np.empty_like(u)
    for label, shape in enumerate(FIGURES.values()):
        chosen = labels == label
        inside[chosen] = shape(u[chosen], v[chosen])
    blend(_mask(inside, size * side / 2), _paint(rng, figure, x, y))

    canvas += rng.normal(0, 0.04, canvas.shape).astype(np.float32)
    images = np.rint(np.clip(canvas, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def _part(stream: int, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    rng = np.random.default_rng([VERSION, stream])
    labels = rng.permutation(np.arange(count) % len(FIGURES)).astype(np.int64)
    chunks = [
        _draw(np.random.default_rng([VERSION, stream, start]), labels[start:][:1000], SIDE)
        for start in range(0, count, 1000)
    ]
    return np.concatenate(chunks), labels


def generate(train: int = TRAIN_IMAGES, test: int = TEST_IMAGES) -> ImageSet:
    """Draws the data set; training and test images come from separate random streams.

    Args:
        train: Training images, class-balanced to within one.
        test: Test images, likewise.

    Returns:
        Images of 32×32 pixels in ten classes.
    """
    return ImageSet(*_part(0, train), *_part(1, test), tuple(FIGURES))

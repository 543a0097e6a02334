"""Settings of a run's data set, of its augmentation and of a streamed folder."""

from dataclasses import dataclass, field
from pathlib import PurePath

from resnet_study.config.fields import check, setting
from resnet_study.data.sets import SOURCES
from resnet_study.system.errors import ConfigError

VIEWS = ("single", "ten_crop", "multi_scale")
NORMALIZATIONS = ("per_pixel_mean", "per_channel_mean", "torchvision")


@dataclass(frozen=True)
class AugmentConfig:
    """Training augmentation (He et al. 2015, §4.2); off with padding 0 and flip false.

    Attributes:
        padding: Zero pixels on each side before the random crop.
        flip: Whether half of the images are mirrored left to right.
        colour: Standard deviation of the shift along the principal components of the
            training set's RGB values, in units of each component's own deviation; 0 for
            none. Krizhevsky et al. 2012 use 0.1.
    """

    padding: int = setting(4, int, minimum=0, maximum=1024)
    flip: bool = setting(True, bool)
    colour: float = setting(0.0, float, minimum=0, maximum=10)

    def __post_init__(self) -> None:
        check(self, "data.augment.")


@dataclass(frozen=True)
class StreamConfig:
    """How large images are read while a network trains (He et al. 2015, §3.4).

    Attributes:
        crop: Side of the square that a network sees, in pixels.
        scale: An image's shorter side is resized to a number drawn between these two, both
            included, and a square is cropped at random.
        test_scale: Shorter side for evaluation, before the centre or ten squares are cropped.
        normalization: What is subtracted, in units of 255 levels: the "per_pixel_mean" or the
            "per_channel_mean" of the training images' centres (always the latter for views of
            another size); or, with "torchvision", the mean of ImageNet's channels, followed by a
            division by their standard deviations, as for torchvision's published weights.
        statistics_images: Number of training images, class-balanced, that means and principal
            components are measured on.
        upright: Whether an image is turned as its EXIF orientation says.
        views: What a trained network is evaluated on: the "single" centre crop, the standard
            "ten_crop" (four corners and the centre, mirrored too), "multi_scale": whole
            images at five scales.
        workers: Processes that decode; 0 for none, null for as many as the run's threads.
        unreadable: What to do about an image that cannot be read: "stop" the run, or "skip" it
            with a warning. In training batches the next readable image replaces it.
    """

    crop: int = setting(224, int, minimum=32, maximum=4096)
    scale: tuple[int, ...] = setting((256, 480), int, minimum=32, maximum=8192, many=True)
    test_scale: int = setting(256, int, minimum=32, maximum=8192)
    normalization: str = setting("per_pixel_mean", str, choices=NORMALIZATIONS)
    statistics_images: int = setting(10_000, int, minimum=1)
    upright: bool = setting(True, bool)
    views: tuple[str, ...] = setting(
        ("single", "ten_crop"), str, choices=VIEWS, many=True, identity=False
    )
    workers: int | None = setting(None, int, minimum=0, maximum=512, optional=True, identity=False)
    unreadable: str = setting("stop", str, choices=("stop", "skip"), identity=False)

    def __post_init__(self) -> None:
        check(self, "data.stream.")
        if len(self.scale) != 2 or not self.crop <= self.scale[0] <= self.scale[1]:
            allowed = f"must be two sides of at least data.stream.crop={self.crop}, smaller first"
            raise ConfigError("data.stream.scale", list(self.scale), allowed)
        if self.test_scale < self.crop:
            allowed = f"must be at least data.stream.crop={self.crop}"
            raise ConfigError("data.stream.test_scale", self.test_scale, allowed)


# For data that are not streamed, so that settings of streams do not enter the ids of such runs.
_NO_STREAM = StreamConfig()


@dataclass(frozen=True)
class DataConfig:
    """A data set, held on the device or streamed.

    Attributes:
        name: An entry of the table in `resnet_study.data.sets`: "shapes", "cifar10", "cifar100"
            or "image_folder", held on the device; or "streamed_folder", which is read while a
            network trains.
        root: Folder of CIFAR's files, or the image folder itself. CIFAR is looked for there, in
            `data/` and in `$TORCH_HOME`, and otherwise downloaded there.
        label: What figures call the data; an image folder's name if null.
        resolution: Images are reduced to this side, by area; null keeps the original.
        train_images: Size of a class-balanced subset of the training set; null for all.
        validation_images: Number of training images, class-balanced, that are held out and
            evaluated in place of the test set; 0 for none. The paper's split is 5,000.
        classes: Number of classes to keep, the first ones; null for all.
        cache: Folder of decoded and generated arrays.
        augment: Augmentation of the training images.
        stream: Settings of a streamed folder; ignored for other data.
    """

    name: str = setting("cifar10", str, choices=tuple(SOURCES))
    root: str | None = setting(None, str, optional=True, identity=False, path=True)
    label: str | None = setting(None, str, optional=True, maximum=80)
    resolution: int | None = setting(None, int, minimum=4, maximum=4096, optional=True)
    train_images: int | None = setting(None, int, minimum=1, optional=True)
    validation_images: int = setting(0, int, minimum=0)
    classes: int | None = setting(None, int, minimum=2, optional=True)
    cache: str = setting("data/cache", str, identity=False, path=True)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    stream: StreamConfig = field(default_factory=StreamConfig)

    def __post_init__(self) -> None:
        check(self, "data.")
        if (layout := SOURCES[self.name].layout) and self.root is None:
            raise ConfigError("data.root", None, f"must be a folder with {layout}")
        if not self.streamed:
            object.__setattr__(self, "stream", _NO_STREAM)
        elif self.resolution is not None:
            allowed = "must be null for streamed images: data.stream.crop is what a network sees"
            raise ConfigError("data.resolution", self.resolution, allowed)
        elif self.augment.padding:
            allowed = "must be 0 for streamed images: they are larger than their crops"
            raise ConfigError("data.augment.padding", self.augment.padding, allowed)
        if not self.title or len(self.title) > 80:
            allowed = f"data.root={self.root} gives no short name; set one"
            raise ConfigError("data.label", self.label, allowed)

    @property
    def streamed(self) -> bool:
        """Whether images are read from disk while a network trains."""
        return SOURCES[self.name].streamed

    @property
    def side(self) -> int:
        """Side of a network's input in pixels; 32 where only the data set knows it."""
        return self.stream.crop if self.streamed else self.resolution or 32

    @property
    def in_folder(self) -> bool:
        """Whether the images are in a folder that the user names."""
        return SOURCES[self.name].layout is not None

    @property
    def title(self) -> str:
        """The name on figures, such as "CIFAR-10" or an image folder's label."""
        return self.label or SOURCES[self.name].title or PurePath(self.root or "").name

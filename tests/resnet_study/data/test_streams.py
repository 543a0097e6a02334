"""Streamed folders: what is drawn, decoded, measured, and named where it is damaged."""

from __future__ import annotations

import functools
import shutil
import signal
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from resnet_study.config import AugmentConfig, DataConfig, StreamConfig
from resnet_study.data import pictures, reader
from resnet_study.data.augment import colour_components
from resnet_study.data.loader import RunData
from resnet_study.data.normalization import normalization_of
from resnet_study.data.stream import StreamedFolder
from resnet_study.data.streaming import draw_epoch, stream_to_device
from resnet_study.errors import ConfigError, DataError, StudyWarning
from tests.pictures import make_folder

SMALL = StreamConfig(crop=32, scale=(34, 48), test_scale=36, views=("single", "ten_crop"))
same = functools.partial(torch.testing.assert_close, rtol=0, atol=0)


def config(root: Path, cache: Path, colour: float = 0.0, **stream) -> DataConfig:
    return DataConfig(
        name="streamed_folder", root=str(root), cache=str(cache), stream=replace(SMALL, **stream),
        augment=AugmentConfig(padding=0, colour=colour),
    )  # fmt: skip


def opened(root: Path, cache: Path, workers: int = 0, **settings) -> RunData:
    folder = StreamedFolder(config(root, cache, **settings))
    return stream_to_device(folder, torch.device("cpu"), 16, 0, 40, workers)


def batches(data: RunData, count: int):
    stream = data.batches.starting_at(0)
    found = [data.batches.assemble(*tensors) for tensors in islice(stream, count)]
    stream.close()
    return found


@pytest.fixture(scope="module")
def streamed(varied, cache) -> RunData:
    """The folder, decoded in this process, with shifted colours."""
    return opened(varied, cache, colour=0.1)


# A batch, and the half of it that is a second process's share.
@pytest.mark.parametrize("share", [slice(0, 16), slice(8, 16)])
def test_batches_equal_a_per_image_reference(share, streamed, varied, cache):
    folder = StreamedFolder(config(varied, cache, colour=0.1))
    normalization, components = normalization_of(folder, 0)
    before = torch.get_rng_state()
    # Begun in mid-epoch: images 48 to 79 of epochs of 60.
    stream = streamed.batches.starting_at(3, lambda draws: tuple(t[share] for t in draws))
    for iteration, tensors in zip((3, 4), stream, strict=False):
        images, labels = streamed.batches.assemble(*tensors)
        assert images.is_contiguous(memory_format=torch.channels_last)
        places = range(16 * iteration, 16 * iteration + 16)[share]
        for image, label, place in zip(images, labels, places, strict=True):
            epoch, position = divmod(place, 60)
            draws = draw_epoch(0, epoch, 60, SMALL, folder.config.augment)
            index, *drawn, colour = (tensor[position] for tensor in draws)
            path = folder.train.path(int(index))
            crop = pictures.drawn_crop(path, True, 32, *(value.item() for value in drawn))
            levels = torch.from_numpy(crop / 255).float() - normalization.mean
            torch.testing.assert_close(image.permute(1, 2, 0), levels + colour @ components)
            assert label == folder.train.labels[index]
    assert torch.equal(before, torch.get_rng_state())


def test_draws_have_the_distribution_that_they_should():
    stream, augment = StreamConfig(), AugmentConfig(padding=0, colour=0.1)
    order, short, left, top, mirrored, colour = draw_epoch(0, 0, 50_000, stream, augment)
    assert sorted(order.tolist()) == list(range(50_000))
    assert (int(short.min()), int(short.max())) == (256, 480)
    assert 0 <= min(left.min(), top.min()) <= max(left.max(), top.max()) < 1
    means = [float(tensor.double().mean()) for tensor in (short, left, top, mirrored)]
    assert means == pytest.approx([368, 0.5, 0.5, 0.5], rel=0.02)
    assert float(colour.std()) == pytest.approx(0.1, abs=0.002)
    plain = draw_epoch(0, 0, 50_000, stream, AugmentConfig(padding=0, flip=False))
    assert not plain[4].any()
    assert not plain[5].any()
    assert torch.equal(plain[0], order)
    assert not torch.equal(draw_epoch(1, 0, 50_000, stream, augment)[0], order)


def test_the_test_images_come_in_order_whole_and_in_views(streamed, varied, cache):
    chunks = list(streamed.test.chunks(10))
    assert [len(labels) for _, labels in chunks] == [10, 10, 4]
    folder = StreamedFolder(config(varied, cache))
    assert torch.cat([labels for _, labels in chunks]).tolist() == folder.test.labels.tolist()
    expected = pictures.test_views(folder.test.path(13), True, 32, 36, "single")[0]
    mean = normalization_of(folder, 0)[0].mean
    found = chunks[1][0][3].permute(1, 2, 0)
    assert torch.allclose(found, torch.from_numpy(expected / 255).float() - mean, atol=1e-6)
    # Images evenly apart are of all classes.
    assert set(streamed.clean_train.spread(8)[1].tolist()) == {0, 1, 2, 3}
    # Every second chunk is another process's.
    own = list(streamed.test.chunks(10, lambda starts: list(starts)[::2]))
    assert [len(labels) for _, labels in own] == [10, 4]
    assert torch.equal(own[1][0], chunks[2][0])

    ten = list(streamed.views["ten_crop"](iter))
    assert sum(len(labels) for _, labels in ten) == 24
    assert all(len(views) == 10 for views, _ in ten)
    centres = torch.cat([views[4] for views, _ in ten])
    assert torch.equal(centres, torch.cat([images for images, _ in chunks]))
    # The mean does not turn with an image: it belongs to the place.
    levels = [view + mean.permute(2, 0, 1) for view in ten[0][0]]
    assert torch.allclose(levels[0].flip(3), levels[5], atol=1e-6)


def test_means_and_components_are_those_of_the_training_images(varied, tmp_path, monkeypatch):
    folder = StreamedFolder(config(varied, tmp_path, colour=0.1))
    paths = [folder.train.path(index) for index in range(60)]
    views = [pictures.test_views(path, True, 32, 36, "single")[0] for path in paths]
    levels = np.stack(views).transpose(0, 3, 1, 2)
    normalization, components = normalization_of(folder, 0)
    mean = normalization.mean.permute(2, 0, 1)
    assert np.allclose(mean, levels.mean(axis=0) / 255, atol=1e-6)
    assert torch.allclose(components, colour_components(levels), atol=1e-6)
    # Measured once: another normalisation takes them from the cache.
    monkeypatch.setattr(reader, "read", None)
    channels = config(varied, tmp_path, normalization="per_channel_mean")
    found, _ = normalization_of(StreamedFolder(channels), 0)
    assert np.allclose(found.mean, levels.mean(axis=(0, 2, 3)) / 255, atol=1e-6)
    white = found(torch.full((1, 2, 2, 3), 255, dtype=torch.uint8))
    assert torch.allclose(white, 1 - found.mean)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_broken_images_stop_a_run_or_are_left_out_and_named_once(workers, tmp_path):
    root = tmp_path / "spoiled"
    broken = make_folder(root, 30, 12, broken=3, largest=60, classes=3)
    names = "|".join(path.name for path in broken)
    with pytest.raises(DataError, match=rf"({names}): .* data.stream.unreadable=skip.*\Z"):
        opened(root, tmp_path, workers)

    def read(workers: int):
        data = opened(root, tmp_path, workers, unreadable="skip")
        return data, batches(data, 4), list(data.clean_train.chunks(8))

    with pytest.warns(StudyWarning, match="and is left out") as warned:
        data, found, clean = read(workers)
    expected = sorted(str(path.relative_to(root)) for path in broken)
    assert data.batches.folder.unreadable.paths == expected
    assert len([w for w in warned if "left out" in str(w.message)]) == 3
    # Batches stay full; what is evaluated is what there is.
    assert all(len(labels) == 16 for _, labels in found)
    assert sum(len(labels) for _, labels in clean) == 27
    with pytest.warns(StudyWarning):
        # The same stand-ins each time.
        same(found, read(0)[1])


@pytest.mark.filterwarnings("ignore::resnet_study.errors.StudyWarning")
@pytest.mark.parametrize(
    ("part", "normalization"),
    [("val", "per_pixel_mean"), ("train", "per_pixel_mean"), ("train", "torchvision")],
)
def test_a_part_of_nothing_but_broken_images_is_one_line(part, normalization, varied, tmp_path):
    root = shutil.copytree(varied, tmp_path / "photos")
    for file in root.glob(f"{part}/*/*"):
        file.write_text("version https://git-lfs.github.com/spec/v1")

    def read():
        data = opened(root, tmp_path, unreadable="skip", normalization=normalization)
        return batches(data, 1), data.test.spread(4)

    with pytest.raises(DataError, match="too many files that cannot be read"):
        read()


@pytest.fixture
def started():
    """Tells which processes this one has started since the test began."""
    before = set(psutil.Process().children())
    return lambda: set(psutil.Process().children()) - before


@pytest.mark.slow
def test_a_worker_that_is_killed_is_one_line(varied, cache, started):
    stream = opened(varied, cache, workers=1).batches.starting_at(0)
    next(stream)

    def read_on():
        with reader.naming_deaths(1):
            started().pop().kill()
            list(islice(stream, 50))

    with pytest.raises(DataError, match=r"data.stream.workers=1: a process that decodes"):
        read_on()


@pytest.mark.slow
def test_workers_change_nothing_leave_signals_to_the_run_and_end_with_its_stream(
    streamed, varied, cache, started
):
    together = opened(varied, cache, workers=2, colour=0.1)
    before = torch.get_rng_state()
    stream = together.batches.starting_at(0)
    # One from each: until it has begun, a worker hears signals as any process does.
    drawn = list(islice(stream, 2))
    workers = started()
    assert len(workers) == 2
    for worker in workers:
        for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2"):
            worker.send_signal(signal.Signals[name])
    drawn += islice(stream, 4)
    stream.close()
    assert torch.equal(before, torch.get_rng_state())
    assert not psutil.wait_procs(workers, timeout=20)[1]
    same([together.batches.assemble(*tensors) for tensors in drawn], batches(streamed, 6))
    same(list(together.test.chunks(10)), list(streamed.test.chunks(10)))


def test_batches_that_do_not_fit_shared_memory_are_refused(monkeypatch):
    class Full:
        f_bavail, f_frsize = 1000, 4096

    monkeypatch.setattr(reader.os, "statvfs", lambda _: Full)
    with pytest.raises(ConfigError, match=r"data.stream.workers=4: they need 462 MB of shared"):
        reader.check_shared_memory(StreamConfig(), 256, 4)
    reader.check_shared_memory(StreamConfig(), 256, 0)

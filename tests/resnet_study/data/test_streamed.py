"""Streamed folders: what is drawn, decoded, measured, and named where it is damaged."""

import errno
import shutil
import signal
import subprocess
import time
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch

from resnet_study.config import AugmentConfig, DataConfig, RunConfig, ScheduleConfig, StreamConfig
from resnet_study.data import decoding, workers
from resnet_study.data.augment import colour_components
from resnet_study.data.dataset import PreparedData
from resnet_study.data.normalization import Normalization
from resnet_study.data.streamed import StreamedFolder, draw_epoch
from resnet_study.system.errors import ConfigError, DataError, StudyWarning
from tests.pictures import make_folder

SMALL = StreamConfig(crop=32, scale=(34, 48), test_scale=36, views=("single", "ten_crop"))


def config(root: Path, cache: Path, colour: float = 0.0, **stream) -> DataConfig:
    return DataConfig(
        name="streamed_folder", root=str(root), cache=str(cache), stream=replace(SMALL, **stream),
        augment=AugmentConfig(padding=0, colour=colour),
    )  # fmt: skip


def opened(root: Path, cache: Path, count: int = 0, **settings) -> PreparedData:
    data = config(root, cache, **settings)
    run = RunConfig(data=data, schedule=ScheduleConfig(batch_size=16, eval_train_images=40))
    return StreamedFolder(data).prepare(run, torch.device("cpu"), count)


def normalization(data: PreparedData) -> Normalization:
    return data.batches.normalization


def batches(data: PreparedData, count: int):
    with closing(data.batches.starting_at(0)) as stream:
        return [data.batches.assemble(*tensors) for tensors in islice(stream, count)]


@pytest.fixture(scope="module")
def streamed(varied, cache) -> PreparedData:
    """The folder, decoded in this process, with shifted colours."""
    return opened(varied, cache, colour=0.1)


def test_batches_equal_a_per_image_reference(streamed, varied, cache):
    folder = StreamedFolder(config(varied, cache, colour=0.1))
    mean, components = normalization(streamed).mean, normalization(streamed).components
    # A second process's part of a batch.
    share = slice(8, 16)
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
            (crop,) = decoding.training_view(SMALL, path, *(value.item() for value in drawn))
            levels = torch.from_numpy(crop / 255).float() - mean
            torch.testing.assert_close(image.permute(1, 2, 0), levels + colour @ components)
            assert label == folder.train.labels[index]


def test_without_flips_no_image_is_mirrored():
    mirrored = draw_epoch(0, 0, 100, StreamConfig(), AugmentConfig(padding=0, flip=False))[4]
    assert not mirrored.any()


def test_the_test_images_come_in_order_whole_and_in_views(streamed, varied, cache):
    chunks = list(streamed.test.chunks(10))
    folder = StreamedFolder(config(varied, cache))
    assert torch.cat([labels for _, labels in chunks]).tolist() == folder.test.labels.tolist()
    (expected,) = decoding.test_views(SMALL, "single", folder.test.path(13))
    mean = normalization(streamed).mean
    found = chunks[1][0][3].permute(1, 2, 0)
    assert torch.allclose(found, torch.from_numpy(expected / 255).float() - mean, atol=1e-6)
    ten = list(streamed.views["ten_crop"](iter))
    centres = torch.cat([views[4] for views, _ in ten])
    assert torch.equal(centres, torch.cat([images for images, _ in chunks]))
    # The mean does not turn with an image: it belongs to the place.
    levels = [view + mean.permute(2, 0, 1) for view in ten[0][0]]
    assert torch.allclose(levels[0].flip(3), levels[5], atol=1e-6)


def test_means_and_components_are_those_of_the_training_images(varied, tmp_path, monkeypatch):
    folder = StreamedFolder(config(varied, tmp_path, colour=0.1))
    paths = [folder.train.path(index) for index in range(60)]
    views = [decoding.test_views(SMALL, "single", path)[0] for path in paths]
    levels = np.stack(views).transpose(0, 3, 1, 2)
    measured = normalization(opened(varied, tmp_path, colour=0.1))
    assert np.allclose(measured.mean.permute(2, 0, 1), levels.mean(axis=0) / 255, atol=1e-6)
    assert torch.allclose(measured.components, colour_components(levels), atol=1e-6)
    # Measured once: another normalisation takes them from the cache.
    monkeypatch.setattr(workers.Workers, "read", None)
    found = normalization(opened(varied, tmp_path, normalization="per_channel_mean"))
    assert np.allclose(found.mean, levels.mean(axis=(0, 2, 3)) / 255, atol=1e-6)
    white = found(torch.full((1, 2, 2, 3), 255, dtype=torch.uint8))
    assert torch.allclose(white, 1 - found.mean[:, None, None])


@pytest.mark.parametrize("count", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_broken_images_stop_a_run_or_are_left_out_and_named_once(count, tmp_path):
    root = tmp_path / "spoiled"
    broken = make_folder(root, 30, 12, broken=3, largest=60, classes=3)
    names = "|".join(path.name for path in broken)
    with pytest.raises(DataError, match=rf"({names}): .* data.stream.unreadable=skip.*\Z"):
        opened(root, tmp_path, count)

    def read():
        data = opened(root, tmp_path, count, unreadable="skip")
        return batches(data, 4), list(data.clean_train.chunks(8))

    with pytest.warns(StudyWarning, match="and is left out") as warned:
        found, clean = read()
    assert len([w for w in warned if "left out" in str(w.message)]) == 3
    # Batches stay full; what is evaluated is what there is.
    assert all(len(labels) == 16 for _, labels in found)
    assert sum(len(labels) for _, labels in clean) == 27


@pytest.mark.filterwarnings("ignore::resnet_study.system.errors.StudyWarning")
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
@pytest.mark.parametrize("count", [1, 2])
def test_a_killed_worker_is_one_line_at_the_next_batch_and_nowhere_else(
    count, varied, cache, started
):
    handler = signal.getsignal(signal.SIGCHLD)
    stream = opened(varied, cache, count).batches.starting_at(0)
    next(stream)
    for worker in started():
        worker.kill()
    # The run is elsewhere, such as in the middle of a checkpoint: no error may come here.
    for _ in range(50):
        time.sleep(0.02)
    assert signal.getsignal(signal.SIGCHLD) == handler
    with pytest.raises(DataError, match=rf"data.stream.workers={count}: a worker process"):
        list(islice(stream, 50))


@pytest.mark.slow
def test_workers_change_nothing_leave_signals_to_the_run_and_end_with_its_stream(
    streamed, varied, cache, started
):
    # As every run does: now each worker begins with threads of torch's own.
    torch.set_num_threads(torch.get_num_threads())
    together = opened(varied, cache, 2, colour=0.1)
    before = torch.get_rng_state()
    stream = together.batches.starting_at(0)
    # One from each: until it has begun, a worker hears signals as any process does.
    drawn = list(islice(stream, 2))
    processes = started()
    assert len(processes) == 2
    # From another process: a SIGTERM from the run itself ends a worker after a minute.
    for name in ("INT", "TERM", "USR1", "USR2"):
        subprocess.run(["kill", f"-{name}", *(str(worker.pid) for worker in processes)], check=True)
    drawn += islice(stream, 4)
    stream.close()
    assert torch.equal(before, torch.get_rng_state())
    assert not psutil.wait_procs(processes, timeout=20)[1]
    found = [together.batches.assemble(*tensors) for tensors in drawn]
    torch.testing.assert_close(found, batches(streamed, 6), rtol=0, atol=0)


def test_batches_that_do_not_fit_shared_memory_are_refused(varied, cache, monkeypatch):
    def free(megabytes: float) -> None:
        space = SimpleNamespace(f_bavail=megabytes * 1e6, f_frsize=1)
        monkeypatch.setattr(workers.os, "statvfs", lambda _: space)

    # Enough for an evaluation, but not for training beside it.
    free(5)
    stream = opened(varied, cache, 4).batches.starting_at(0)
    with pytest.raises(ConfigError, match=r"data.stream.workers=4: they need 5 MB of shared"):
        next(stream)
    free(4)
    with pytest.raises(ConfigError, match=r"has 4; use fewer, or 0"):
        opened(varied, cache, 4)
    # Plenty, but none that may be written.
    free(1000)
    monkeypatch.setattr(workers.os, "access", lambda *_: False)
    with pytest.raises(ConfigError, match=r"has 0; use fewer, or 0"):
        opened(varied, cache, 4)
    assert opened(varied, cache, 0)


def test_a_process_that_cannot_be_started_is_one_line(varied, cache, monkeypatch):
    def refused(_):
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(workers, "_begun", refused)
    with pytest.raises(DataError, match=r"data.stream.workers=1: .* cannot start, perhaps for la"):
        next(opened(varied, cache, 1).batches.starting_at(0))

"""Streamed folders: what is listed, drawn, decoded, measured, and named where it is damaged."""

from __future__ import annotations

import os
import shutil
import signal
import time
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

CPU = torch.device("cpu")
SMALL = StreamConfig(crop=32, scale=(34, 48), test_scale=36, views=("single", "ten_crop"))


@pytest.fixture
def spoiled(tmp_path: Path) -> tuple[Path, list[Path]]:
    broken = make_folder(tmp_path / "spoiled", 30, 12, broken=3, largest=60, classes=3)
    return tmp_path / "spoiled", broken


def config(root: Path, cache: Path, stream: StreamConfig = SMALL, **changes) -> DataConfig:
    augment = AugmentConfig(padding=0, colour=changes.pop("colour", 0.0))
    return DataConfig(
        name="streamed_folder", root=str(root), cache=str(cache), stream=stream, augment=augment,
        **changes,
    )  # fmt: skip


def opened(root: Path, cache: Path, workers: int = 0, seed: int = 0, **changes) -> RunData:
    folder = StreamedFolder(config(root, cache, **changes))
    return stream_to_device(folder, CPU, 16, seed, 20, workers)


def batches(data: RunData, start: int, count: int):
    stream = data.batches.starting_at(start)
    found = [data.batches.assemble(*tensors) for tensors in islice(stream, count)]
    stream.close()
    return found


def equal(one, other) -> bool:
    return all(
        torch.equal(a, b)
        for x, y in zip(one, other, strict=True)
        for a, b in zip(x, y, strict=True)
    )


def test_an_epoch_shows_every_image_once(varied, cache):
    data = opened(varied, cache)
    draws = [data.batches.draws(iteration)[0] for iteration in range(15)]
    order = torch.cat(draws)
    # 15 batches of 16 are four epochs of 60.
    for epoch in range(4):
        assert sorted(order[60 * epoch : 60 * (epoch + 1)].tolist()) == list(range(60))
    assert not torch.equal(order[:60], order[60:120])


def test_batches_do_not_depend_on_the_number_of_workers(varied, cache):
    alone = batches(opened(varied, cache, colour=0.1), 0, 6)
    together = batches(opened(varied, cache, workers=2, colour=0.1), 0, 6)
    assert equal(alone, together)
    assert not equal(alone, batches(opened(varied, cache, seed=1, colour=0.1), 0, 6))
    images, labels = alone[0]
    assert images.shape == (16, 3, 32, 32)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert labels.shape == (16,)


def test_a_stream_goes_on_in_mid_epoch(varied, cache):
    whole, later = batches(opened(varied, cache), 0, 7), batches(opened(varied, cache), 5, 2)
    assert equal(whole[5:], later)


def test_shares_of_a_batch_make_the_batch(varied, cache):
    data = opened(varied, cache)
    (images, labels), *_ = batches(data, 0, 1)
    parts = []
    for rank in range(2):
        stream = data.batches.starting_at(
            0, lambda d, r=rank: tuple(t[8 * r : 8 * r + 8] for t in d)
        )
        parts.append(data.batches.assemble(*next(stream)))
    assert torch.equal(torch.cat([part[0] for part in parts]), images)
    assert torch.equal(torch.cat([part[1] for part in parts]), labels)


def test_draws_have_the_distribution_that_they_should():
    stream, augment = StreamConfig(), AugmentConfig(padding=0, colour=0.1)
    order, short, left, top, mirrored, colour = draw_epoch(0, 0, 50_000, stream, augment)
    assert sorted(order.tolist()) == list(range(50_000))
    assert (int(short.min()), int(short.max())) == (256, 480)
    assert float(short.double().mean()) == pytest.approx(368, abs=1)
    for place in (left, top):
        assert 0 <= float(place.min()) <= float(place.max()) < 1
        assert float(place.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(mirrored.double().mean()) == pytest.approx(0.5, abs=0.01)
    assert float(colour.std()) == pytest.approx(0.1, abs=0.002)
    plain = draw_epoch(0, 0, 50_000, stream, AugmentConfig(padding=0, flip=False))
    assert not plain[4].any()
    assert not plain[5].any()
    assert torch.equal(plain[0], order)


def test_the_test_images_come_in_order_and_whole(varied, cache):
    data = opened(varied, cache, workers=2)
    chunks = list(data.test.chunks(10))
    assert [len(labels) for _, labels in chunks] == [10, 10, 4]
    folder = StreamedFolder(config(varied, cache))
    assert torch.cat([labels for _, labels in chunks]).tolist() == folder.test.labels.tolist()
    expected = pictures.test_views(folder.test.path(13), True, 32, 36, "single")[0]
    mean = normalization_of(folder, 0)[0].mean
    found = chunks[1][0][3].permute(1, 2, 0)
    assert torch.allclose(found, torch.from_numpy(expected.copy()).float() / 255 - mean, atol=1e-6)
    # Every second chunk is another process's.
    own = list(data.test.chunks(10, lambda starts: list(starts)[::2]))
    assert [len(labels) for _, labels in own] == [10, 4]
    assert torch.equal(own[1][0], chunks[2][0])


def test_views_hold_the_single_one_and_all_images(varied, cache):
    data = opened(varied, cache)
    single = torch.cat([images for images, _ in data.test.chunks(10)])
    ten = list(data.views["ten_crop"](iter))
    assert sum(len(labels) for _, labels in ten) == 24
    assert all(len(views) == 10 for views, _ in ten)
    centre = torch.cat([views[4] for views, _ in ten])
    assert torch.equal(centre, single)
    # The mean does not turn with an image: it belongs to the place.
    levels = [view + data.test.normalization.mean.permute(2, 0, 1) for view in ten[0][0]]
    assert torch.allclose(levels[0].flip(3), levels[5], atol=1e-6)


def test_images_evenly_apart_hold_all_classes(varied, cache):
    images, labels = opened(varied, cache).clean_train.spread(8)
    assert images.shape == (8, 3, 32, 32)
    assert set(labels.tolist()) == {0, 1, 2, 3}


def test_means_and_components_are_those_of_the_training_images(varied, tmp_path):
    given = config(varied, tmp_path, colour=0.1)
    folder = StreamedFolder(given)
    levels = np.stack(
        [
            pictures.test_views(folder.train.path(i), True, 32, 36, "single")[0]
            for i in range(len(folder.train))
        ]
    )
    normalization, components = normalization_of(folder, 2)
    assert np.allclose(normalization.mean, levels.mean(axis=0) / 255, atol=1e-6)
    expected = colour_components(levels.transpose(0, 3, 1, 2))
    assert torch.allclose(components, expected, atol=1e-6)
    channels = replace(SMALL, normalization="per_channel_mean")
    found, _ = normalization_of(StreamedFolder(config(varied, tmp_path, channels)), 0)
    assert np.allclose(found.mean, levels.mean(axis=(0, 1, 2)) / 255, atol=1e-6)


def test_statistics_are_measured_once(varied, tmp_path, monkeypatch):
    one, _ = normalization_of(StreamedFolder(config(varied, tmp_path)), 0)
    assert len(list(tmp_path.glob("statistics-*.npz"))) == 1
    monkeypatch.setattr(reader, "read", None)
    other, _ = normalization_of(StreamedFolder(config(varied, tmp_path)), 0)
    assert torch.equal(one.mean, other.mean)


def test_torchvisions_normalisation_needs_no_training_images(varied, tmp_path, monkeypatch):
    shutil.copytree(varied / "val", tmp_path / "photos/val")
    monkeypatch.setattr(reader, "read", None)
    stream = replace(SMALL, normalization="torchvision")
    folder = StreamedFolder(config(tmp_path / "photos", tmp_path, stream), train=False)
    normalization, components = normalization_of(folder, 0)
    assert components is None
    grey = torch.full((1, 2, 2, 3), 124, dtype=torch.uint8)
    means, deviations = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    expected = [(124 / 255 - m) / d for m, d in zip(means, deviations, strict=True)]
    assert normalization(grey)[0, 0, 0].tolist() == pytest.approx(expected, abs=1e-5)


def test_colours_are_shifted_along_the_components(varied, cache):
    data = opened(varied, cache, colour=0.5)
    views, labels, colour = next(data.batches.starting_at(0))
    shifted, _ = data.batches.assemble(views, labels, colour)
    still, _ = data.batches.assemble(views, labels, torch.zeros_like(colour))
    expected = (colour @ data.batches.components)[:, :, None, None]
    assert torch.allclose(shifted - still, expected.expand_as(shifted), atol=1e-5)


def test_a_broken_image_stops_a_run_and_is_named(spoiled, cache, tmp_path):
    root, broken = spoiled
    with pytest.raises(DataError) as caught:
        batches(opened(root, tmp_path, workers=1), 0, 2)
    line = str(caught.value)
    assert any(str(path) in line for path in broken)
    assert "allowed is data.stream.unreadable=skip" in line
    assert "\n" not in line


def test_broken_images_are_left_out_and_named_once_where_that_is_wanted(spoiled, tmp_path):
    root, broken = spoiled
    stream = replace(SMALL, unreadable="skip")
    folder = StreamedFolder(config(root, tmp_path, stream))

    def read():
        data = stream_to_device(folder, CPU, 16, 0, None, 2)
        return batches(data, 0, 4), list(data.clean_train.chunks(8))

    with pytest.warns(StudyWarning, match="and is left out") as caught:
        found, clean = read()
    assert {str(path.relative_to(root)) for path in broken} == set(folder.unreadable.paths)
    assert len([w for w in caught if "left out" in str(w.message)]) == len(broken)
    # Batches stay full; what is evaluated is what there is.
    assert all(len(labels) == 16 for _, labels in found)
    assert sum(len(labels) for _, labels in clean) == 27
    # The same stand-ins each time.
    again = StreamedFolder(config(root, tmp_path, stream))
    with pytest.warns(StudyWarning):
        assert equal(found, batches(stream_to_device(again, CPU, 16, 0, None, 0), 0, 4))


@pytest.mark.filterwarnings("ignore::resnet_study.errors.StudyWarning")
def test_a_validation_part_of_nothing_but_broken_images_is_one_line(varied, tmp_path):
    root = tmp_path / "photos"
    shutil.copytree(varied, root)
    for file in root.glob("val/*/*"):
        file.write_text("version https://git-lfs.github.com/spec/v1")
    data = opened(root, tmp_path, stream=replace(SMALL, unreadable="skip"))
    for read in (lambda: list(data.test.chunks(8)), lambda: data.test.spread(4)):
        with pytest.raises(DataError, match="too many files that cannot be read"):
            read()


@pytest.mark.filterwarnings("ignore::resnet_study.errors.StudyWarning")
def test_a_folder_of_nothing_but_broken_images_is_one_line(varied, tmp_path):
    root = tmp_path / "photos"
    shutil.copytree(varied, root)
    for file in root.glob("train/*/*"):
        file.write_bytes(b"")
    stream = replace(SMALL, unreadable="skip")
    with pytest.raises(DataError, match="too many files that cannot be read"):
        opened(root, tmp_path, stream=stream)
    given = replace(stream, normalization="torchvision")
    with pytest.raises(DataError, match="too many files that cannot be read"):
        batches(opened(root, tmp_path, stream=given), 0, 1)


@pytest.fixture
def started():
    """Tells which processes this one has started since the test began."""
    before = set(psutil.Process().children())
    return lambda: set(psutil.Process().children()) - before


def test_a_worker_that_is_killed_is_one_line(varied, cache, started):
    data = opened(varied, cache, workers=1)
    stream = data.batches.starting_at(0)
    next(stream)
    (worker,) = started()

    def read_on():
        with reader.naming_deaths(1):
            os.kill(worker.pid, signal.SIGKILL)
            list(islice(stream, 50))

    with pytest.raises(DataError, match=r"data.stream.workers=1: a process that decodes"):
        read_on()


def test_workers_leave_signals_to_the_run_and_end_with_its_stream(varied, cache, started):
    stream = opened(varied, cache, workers=2).batches.starting_at(0)
    # One from each: until it has begun, a worker hears signals as any process does.
    assert len(list(islice(stream, 2))) == 2
    workers = started()
    assert len(workers) == 2
    for worker in workers:
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            os.kill(worker.pid, name)
    assert len(list(islice(stream, 8))) == 8
    stream.close()
    deadline = time.monotonic() + 20
    while started() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not started()


def test_batches_that_do_not_fit_shared_memory_are_refused(monkeypatch):
    class Full:
        f_bavail, f_frsize = 1000, 4096

    monkeypatch.setattr(reader.os, "statvfs", lambda _: Full)
    with pytest.raises(ConfigError, match=r"data.stream.workers=4: they need 462 MB of shared"):
        reader.check_shared_memory(StreamConfig(), 256, 4)
    reader.check_shared_memory(StreamConfig(), 256, 0)


def test_reading_draws_nothing_from_the_global_generator(varied, cache):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    batches(opened(varied, cache, workers=1), 0, 2)
    assert torch.equal(before, torch.get_rng_state())

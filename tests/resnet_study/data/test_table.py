"""The table of data sets, and what each of them opens as."""

import shutil

import pytest
import torch
from PIL import Image

from resnet_study.cli import CONF
from resnet_study.config import AugmentConfig, DataConfig, RunConfig, ScheduleConfig
from resnet_study.data import open_dataset, size_of
from resnet_study.data.sets import SOURCES
from tests.resnet_study.data.test_streamed import config


def test_each_data_set_has_a_file_of_settings():
    assert SOURCES.keys() <= {path.stem for path in CONF.glob("data/*.yaml")}
    # Without a title of its own, a data set is called by the name of its folder.
    for name, source in SOURCES.items():
        data = DataConfig(name=name, root="some/photos", augment=AugmentConfig(padding=0))
        assert data.title == (source.title or "photos")


@pytest.mark.parametrize("name", ["shapes", "streamed_folder"])
def test_data_sets_are_counted_described_and_prepared_alike(name, varied, cache):
    chosen = config(varied, cache)
    if name == "shapes":
        chosen = DataConfig(name=name, cache=str(cache), train_images=40, resolution=8)
    dataset = open_dataset(chosen)
    described = dataset.describe()
    train, test, side = size_of(chosen)
    assert described["train_images"] == train == len(dataset.train_labels)
    assert (described["test_images"], described["height"], described["width"]) == (test, side, side)
    assert described["classes"] == len(dataset.classes)
    assert dataset.skipped == []
    assert len(dataset.fingerprint()) == 12
    run = RunConfig(data=chosen, schedule=ScheduleConfig(batch_size=16, eval_train_images=20))
    data = dataset.prepare(run, torch.device("cpu"), workers=0)
    images, labels = data.batches.assemble(*next(data.batches.starting_at(0)))
    assert images.shape == (16, 3, *data.side)
    assert (len(data.clean_train), len(data.test), data.classes) == (20, test, len(dataset.classes))
    assert data.side == (side, side)
    # Ranks share the chunks out.
    first, *_ = data.test.chunks(10, lambda chunks: list(chunks)[1:])
    assert torch.equal(first[1], list(data.test.chunks(10))[1][1])
    assert labels.max() < data.classes


def test_a_streamed_folder_may_lack_training_images_that_are_not_needed(varied, cache, tmp_path):
    photos = shutil.copytree(varied, tmp_path / "photos")
    shutil.rmtree(photos / "train")
    folder = open_dataset(config(photos, cache), train=False)
    assert folder.describe()["test_images"] == 24


def test_images_are_counted_without_being_loaded(tmp_path):
    for part in ("train/a", "train/b", "test/a", "test/b"):
        (tmp_path / part).mkdir(parents=True)
        Image.new("RGB", (24, 24)).save(tmp_path / part / "one.png")
    (tmp_path / "train/b/two.png").touch()
    folder = DataConfig(name="image_folder", root=str(tmp_path), label="pets")
    assert size_of(folder) == (3, 2, 24)
    assert size_of(DataConfig(validation_images=5000, train_images=800))[:2] == (800, 5000)

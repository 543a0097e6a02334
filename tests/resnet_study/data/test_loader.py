"""Batches and augmentation against a per-image reference."""

import numpy as np
import pytest
import torch

from resnet_study.config import AugmentConfig
from resnet_study.data.images import ImageSet
from resnet_study.data.loader import draw_epoch, to_device


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return ImageSet(
        rng.integers(0, 256, (50, 3, 8, 8), dtype=np.uint8),
        np.arange(50) % 10,
        rng.integers(0, 256, (20, 3, 8, 8), dtype=np.uint8),
        np.arange(20) % 10,
        tuple("abcdefghij"),
    )


def loaded(images, seed=0, padding=4, flip=True, batch_size=16):
    augment = AugmentConfig(padding=padding, flip=flip)
    return to_device(images, torch.device("cpu"), batch_size, seed, augment, None)


def test_augmented_batches_equal_a_per_image_reference(images):
    """Padding, cropping and flipping one image at a time, with numpy's own functions."""
    padding, seed = 4, 5
    batches = loaded(images, seed=seed, padding=padding).batches
    mean = images.train_images.mean(axis=0) / 255
    for iteration in range(7):
        inputs, labels = batches.batch(iteration)
        for row in range(16):
            epoch, place = divmod(iteration * 16 + row, 50)
            draws = draw_epoch(seed, epoch, 50, AugmentConfig(padding=padding))
            index = draws.order[place]
            centred = images.train_images[index] / 255 - mean
            padded = np.pad(centred, ((0, 0), (padding, padding), (padding, padding)))
            top, left = draws.top[place], draws.left[place]
            crop = padded[:, top : top + 8, left : left + 8]
            if draws.flip[place]:
                crop = crop[:, :, ::-1]
            np.testing.assert_allclose(inputs[row].numpy(), crop, atol=1e-6)
            assert labels[row] == images.train_labels[index]


def test_every_image_is_drawn_its_own_crop_and_flip():
    draws = draw_epoch(0, 0, 10_000, AugmentConfig())
    assert np.bincount(draws.top).shape == (9,)
    for offsets in (draws.top, draws.left):
        assert np.bincount(offsets) / 10_000 == pytest.approx(np.full(9, 1 / 9), abs=0.015)
    assert draws.flip.mean() == pytest.approx(0.5, abs=0.02)
    assert not np.array_equal(draws.top, draws.left)
    assert not draw_epoch(0, 0, 100, AugmentConfig(flip=False)).flip.any()


def test_each_epoch_shows_every_image_once(images):
    batches = loaded(images, padding=0, flip=False, batch_size=10).batches
    for epoch in range(3):
        orders = [batches.batch(5 * epoch + i)[0] for i in range(5)]
        seen = torch.cat(orders).numpy() + images.train_images.mean(axis=0) / 255
        assert {i.tobytes() for i in np.rint(seen * 255).astype(np.uint8)} == {
            i.tobytes() for i in images.train_images
        }


def test_the_stream_depends_on_seed_and_iteration_alone(images):
    one, two = loaded(images).batches, loaded(images).batches
    stream = one.starting_at(0)
    walked = [one.assemble(*next(stream)) for _ in range(10)]
    # Entered in the middle, without replaying what came before.
    jumped = two.assemble(*next(two.starting_at(9)))
    assert torch.equal(walked[9][0], jumped[0])
    assert torch.equal(walked[9][1], jumped[1])
    assert not torch.equal(loaded(images, seed=1).batches.batch(0)[0], walked[0][0])


def test_test_images_are_seen_once_whole_and_in_order(images):
    test = loaded(images).test
    inputs = torch.cat([x for x, _ in test.chunks(7)])
    labels = torch.cat([y for _, y in test.chunks(7)])
    mean = images.train_images.mean(axis=0) / 255
    np.testing.assert_allclose(inputs.numpy(), images.test_images / 255 - mean, atol=1e-6)
    assert labels.tolist() == images.test_labels.tolist()


def test_batches_are_channels_last(images):
    inputs, _ = loaded(images).batches.batch(0)
    assert inputs.is_contiguous(memory_format=torch.channels_last)


def test_the_clean_training_part_is_a_balanced_subset(images):
    data = to_device(images, torch.device("cpu"), 16, 0, AugmentConfig(), 20)
    assert np.bincount(data.clean_train.labels.numpy()).tolist() == [2] * 10
    assert len(data.batches.source) == 50

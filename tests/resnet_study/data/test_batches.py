"""Batches, augmentation and colour shifts of images in memory, against per-image references."""

import numpy as np
import pytest
import torch

from resnet_study.config import AugmentConfig, DataConfig, RunConfig, ScheduleConfig
from resnet_study.data.augment import colour_components
from resnet_study.data.batches import draw_epoch
from resnet_study.data.dataset import PreparedData
from resnet_study.data.images import ImageSet

RNG = np.random.default_rng(0)


def coloured(count: int) -> np.ndarray:
    """Noise whose red, green and blue levels have unlike deviations."""
    red = RNG.integers(0, 200, (count, 1, 8, 8))
    return np.concatenate([red, red // 2, RNG.integers(0, 20, red.shape)], 1).astype(np.uint8)


IMAGES = ImageSet(
    coloured(50), np.arange(50) % 10, coloured(20), np.arange(20) % 10, tuple("abcdefghij")
)
MEAN = IMAGES.train_images.mean(axis=0) / 255


def prepared(seed: int = 0, eval_train_images: int | None = None, **augment) -> PreparedData:
    data = DataConfig(augment=AugmentConfig(**augment))
    schedule = ScheduleConfig(batch_size=16, eval_train_images=eval_train_images)
    config = RunConfig(data=data, schedule=schedule, seed=seed)
    return IMAGES.prepare(config, torch.device("cpu"), workers=1)


@pytest.mark.parametrize("colour", [0.0, 0.1])
def test_augmented_batches_equal_a_per_image_reference(colour):
    """Shifting colours, padding, cropping and flipping one image at a time, with numpy."""
    batches = prepared(seed=5, colour=colour).batches
    components = colour_components(IMAGES.train_images).numpy()
    # Entered in mid-epoch, without a replay: images 32 to 111 of epochs of 50.
    for iteration, drawn in zip(range(2, 7), batches.starting_at(2), strict=False):
        inputs, labels = batches.assemble(*drawn)
        assert inputs.is_contiguous(memory_format=torch.channels_last)
        for row in range(16):
            epoch, place = divmod(iteration * 16 + row, 50)
            *drawn, shifts = draw_epoch(5, epoch, 50, AugmentConfig(colour=colour))
            index, top, left, mirrored = (int(numbers[place]) for numbers in drawn)
            image = IMAGES.train_images[index] / 255 - MEAN
            if colour:
                image += (shifts[place].numpy() @ components)[:, None, None]
            crop = np.pad(image, ((0, 0), (4, 4), (4, 4)))[:, top : top + 8, left : left + 8]
            if mirrored:
                crop = crop[:, :, ::-1]
            np.testing.assert_allclose(inputs[row].numpy(), crop, atol=1e-6)
            assert labels[row] == IMAGES.train_labels[index]


def test_without_flips_no_image_is_mirrored():
    assert not draw_epoch(0, 3, 100, AugmentConfig(flip=False))[3].any()


def test_evaluation_sees_images_whole_in_order_and_without_augmentation():
    data = prepared(eval_train_images=20, colour=0.1)
    images, labels = (torch.cat(parts) for parts in zip(*data.test.chunks(7), strict=True))
    np.testing.assert_allclose(images.numpy(), IMAGES.test_images / 255 - MEAN, atol=1e-6)
    assert labels.tolist() == IMAGES.test_labels.tolist()
    # A balanced subset of the training images, which leaves the batches all of them.
    assert np.bincount(data.clean_train.labels.numpy()).tolist() == [2] * 10
    assert len(data.batches.source) == 50


def test_components_are_the_eigenvectors_of_the_covariance():
    """Each as long as its deviation, the largest first."""
    components = colour_components(IMAGES.train_images).double().numpy()
    values = IMAGES.train_images.transpose(0, 2, 3, 1).reshape(-1, 3) / 255
    covariance = np.cov(values.T, bias=True)
    np.testing.assert_allclose(components.T @ components, covariance, atol=1e-7)
    variances = np.linalg.eigvalsh(covariance)[::-1]
    np.testing.assert_allclose(components @ components.T, np.diag(variances), atol=1e-7)

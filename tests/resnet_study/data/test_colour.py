"""The colour shift along the principal components of RGB."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from resnet_study.config import AugmentConfig, DataConfig
from resnet_study.data.augment import colour_components, shift_colour
from resnet_study.data.images import ImageSet
from resnet_study.data.loader import draw_epoch, to_device
from resnet_study.experiment import run


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    base = rng.integers(0, 200, (3000, 1, 4, 4))
    colours = np.concatenate([base, base // 2, rng.integers(0, 20, base.shape)], axis=1)
    return colours.astype(np.uint8)


def test_components_are_the_eigenvectors_of_the_covariance(images):
    components = colour_components(images).double().numpy()
    values = images.transpose(0, 2, 3, 1).reshape(-1, 3) / 255
    covariance = np.cov(values.T, bias=True)
    lengths = np.linalg.norm(components, axis=1)
    for component, length in zip(components, lengths, strict=True):
        np.testing.assert_allclose(covariance @ component, length**2 * component, atol=1e-7)
    assert (np.diff(lengths) < 0).all()
    np.testing.assert_allclose(components.T @ components, covariance, atol=1e-6)
    assert (components[np.arange(3), np.abs(components).argmax(axis=1)] > 0).all()


def test_an_image_is_shifted_as_a_whole_by_its_own_draw(images):
    components = colour_components(images)
    centred = torch.rand(5, 4, 4, 3)
    draws = torch.randn(5, 3)
    shifted = shift_colour(centred, draws, components) - centred
    for image, draw in zip(shifted, draws, strict=True):
        expected = sum(float(a) * row for a, row in zip(draw, components, strict=True))
        torch.testing.assert_close(image, expected.expand(4, 4, 3), rtol=1e-4, atol=1e-5)


def test_draws_have_the_deviation_asked_for_and_leave_the_other_streams_alone():
    off = draw_epoch(0, 3, 20_000, AugmentConfig())
    on = draw_epoch(0, 3, 20_000, AugmentConfig(colour=0.1))
    for name in ("order", "top", "left", "flip"):
        np.testing.assert_array_equal(getattr(off, name), getattr(on, name))
    assert off.colour.shape == (0, 3)
    assert on.colour.shape == (20_000, 3)
    assert on.colour.std() == pytest.approx(0.1, rel=0.02)
    again = draw_epoch(0, 3, 20_000, AugmentConfig(colour=0.1))
    np.testing.assert_array_equal(on.colour, again.colour)


def test_batches_are_those_without_colour_plus_the_shift(images):
    labels = np.arange(len(images)) % 10
    data = ImageSet(images, labels, images[:10], labels[:10], tuple("abcdefghij"))
    plain, colour = (
        to_device(data, torch.device("cpu"), 64, 0, AugmentConfig(padding=0, colour=c), None)
        for c in (0.0, 0.1)
    )
    for iteration in (0, 46, 47):
        one, two = (d.batches.batch(iteration)[0] for d in (plain, colour))
        shift = (two - one).permute(0, 2, 3, 1)
        torch.testing.assert_close(shift, shift[:, :1, :1].expand_as(shift), rtol=0, atol=1e-5)
        assert len(torch.unique(shift[:, 0, 0, 0].round(decimals=6))) > 50
    # Evaluation sees the images as they are.
    for kind in ("clean_train", "test"):
        one, two = (next(getattr(d, kind).chunks(100))[0] for d in (plain, colour))
        assert torch.equal(one, two)


def test_colour_is_part_of_a_runs_identity(tiny, cache):
    data = DataConfig(
        name="shapes",
        resolution=8,
        train_images=200,
        cache=str(cache),
        augment=AugmentConfig(colour=0.1),
    )
    record = run(tiny(data=data))
    assert record.state == "finished"
    assert "colour" in record.run_id
    assert record.run_id != tiny().run_id

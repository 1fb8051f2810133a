"""Edges of images: what is one, shapes, and what is refused."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from shiftlearn.coding.edges import edges
from shiftlearn.errors import InputError


@pytest.fixture
def canny():
    """That of scikit-image; the test is skipped where it is not installed."""
    return pytest.importorskip("skimage.feature", reason="installed without the extra edges").canny


def square(value=255, side=28):
    image = np.zeros((side, side), np.uint8)
    image[8:20, 8:20] = value
    return image


def test_a_square_becomes_its_outline(canny):
    result = edges(square()[None])[0]
    assert result.dtype == np.uint8
    assert set(np.unique(result)) == {0, 255}
    near = np.zeros((28, 28), bool)
    near[7:21, 7:21] = True
    near[9:19, 9:19] = False
    assert not result[~near].any()
    for line in (result[10:18, 7:9], result[10:18, 19:21], result[7:9, 10:18].T, result[19:21, 10:18].T):
        assert (line > 0).any(axis=1).all()


def test_the_thresholds_are_of_images_in_0_to_1(canny):
    """A step of 6 of 255 has a gradient of about 0.08, one of 30 about 0.4; with thresholds of 0 to 255 both are in."""
    assert not edges(square(6)[None]).any()
    assert edges(square(30)[None]).any()


def test_every_image_is_that_of_scikit_image(canny, digits):
    images = digits["train"][0][:20]
    for sigma in (0.5, 1.5):
        wanted = [canny(image.astype(float) / 255, sigma=sigma) for image in images]
        assert np.array_equal(edges(images, sigma) > 0, wanted)
    assert not np.array_equal(edges(images), edges(images, 1.5))
    assert np.array_equal(edges(images), edges(images, 0.5))


def test_images_do_not_affect_one_another(canny, digits):
    images = digits["train"][0][:5]
    assert np.array_equal(edges(images)[3], edges(images[3:4])[0])


def test_flat_rows_are_square_images(canny, digits):
    images = digits["train"][0][:5]
    before = images.copy()
    flat = edges(images.reshape(5, 784))
    assert flat.shape == (5, 784)
    assert np.array_equal(flat.reshape(5, 28, 28), edges(images))
    assert np.array_equal(images, before)


def test_layouts(canny):
    image = square()
    wide = np.concatenate([image, image[:, :5]], axis=1)[None]
    assert edges(wide).shape == (1, 28, 33)
    assert np.array_equal(edges(wide.transpose(0, 2, 1)).shape, (1, 33, 28))
    stack = np.stack([image, image // 2], axis=2).transpose(2, 0, 1)  # not contiguous
    assert np.array_equal(edges(stack), edges(np.ascontiguousarray(stack)))
    assert edges(image[None])[0].any()
    assert edges(np.zeros((0, 28, 28), np.uint8)).shape == (0, 28, 28)
    assert not edges(np.full((1, 28, 28), 255, np.uint8)).any()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 28, 28)), r"images must be uint8 \(0 to 255\), got float64"),
        (np.zeros((2, 28, 28), bool), "images must be uint8 .* got bool"),
        (np.zeros((2, 783), np.uint8), r"images must have shape \(n, side \* side\) or .*, got \(2, 783\)"),
        (np.zeros((2, 0), np.uint8), r"got \(2, 0\)"),
        (np.zeros((2, 0, 3), np.uint8), r"got \(2, 0, 3\)"),
        (np.zeros(784, np.uint8), r"got \(784,\)"),
        (np.zeros((2, 28, 28, 1), np.uint8), r"got \(2, 28, 28, 1\)"),
    ],
)
def test_bad_images(images, message):
    with pytest.raises(InputError, match=message):
        edges(images)


@pytest.mark.parametrize("sigma", [0, -0.5, np.nan, np.inf])
def test_bad_sigmas(sigma):
    with pytest.raises(InputError, match="sigma must be positive and finite, got"):
        edges(square()[None], sigma)


def test_without_scikit_image_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(InputError, match=r"edges need scikit-image: pip install 'shiftlearn\[edges\]'"):
        edges(square()[None])

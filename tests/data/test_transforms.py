"""Transforms against their definitions, and the crop against cropping the image."""

import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.data.transforms import (
    center_crop,
    center_pad,
    centered_fft2,
    centered_ifft2,
    crop_kspace,
    move_origin,
    pad_kspace,
)

SHAPES = [(4, 4), (5, 6), (3, 7, 5)]  # odd sizes on purpose
AXES = (-2, -1)


def complex_normal(shape, seed=0):
    re, im = np.random.default_rng(seed).standard_normal((2, *shape), dtype=np.float32)
    return re + 1j * im


@pytest.mark.parametrize("shape", SHAPES)
def test_fft2c_is_centred_and_unitary(shape):
    x, y = complex_normal(shape), complex_normal(shape, 1)
    want = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(x, AXES), norm="ortho"), AXES)
    np.testing.assert_allclose(centered_fft2(x), want, atol=1e-5)
    np.testing.assert_allclose(centered_ifft2(centered_fft2(x)), x, atol=1e-5)
    np.testing.assert_allclose(
        np.vdot(centered_fft2(x), y), np.vdot(x, centered_ifft2(y)), rtol=1e-4
    )
    assert centered_fft2(x).dtype == np.complex64


@pytest.mark.parametrize("shape", [(12, 10), (13, 11), (2, 12, 9)])
@pytest.mark.parametrize("size", [(8, 8), (7, 6), (9, 9), (12, 5)])
def test_crop_kspace_is_the_kspace_of_the_cropped_image(shape, size):
    kspace = complex_normal(shape)
    cropped = crop_kspace(kspace, size)
    assert cropped.dtype == np.complex64
    np.testing.assert_allclose(
        cropped, centered_fft2(center_crop(centered_ifft2(kspace), size)), atol=1e-5
    )


def test_crop_to_the_same_size_changes_nothing():
    kspace = complex_normal((9, 10))
    np.testing.assert_array_equal(crop_kspace(kspace, (9, 10)), kspace)


def test_center_crop_starts_where_fastmri_starts():
    columns = np.arange(368)[None, :]
    assert center_crop(columns, (1, 320))[0, 0] == 24
    assert center_crop(np.arange(271)[None, :], (1, 256))[0, 0] == 7


@pytest.mark.parametrize("size", [(20, 4), (4, 20), (0, 4)])
@pytest.mark.parametrize("crop", [center_crop, crop_kspace])
def test_a_crop_must_fit(crop, size):
    with pytest.raises(UserError, match=rf"cannot crop 9×10 pixels to {size[0]}×{size[1]}"):
        crop(complex_normal((9, 10)), size)


@pytest.mark.parametrize("shape", [(8, 7), (5, 6), (2, 7, 5)])
@pytest.mark.parametrize("size", [(8, 8), (11, 10), (9, 7)])
def test_pad_is_undone_by_crop(shape, size):
    kspace = complex_normal(shape)
    padded = pad_kspace(kspace, size)
    assert padded.shape == (*shape[:-2], *size) and padded.dtype == np.complex64
    image = centered_ifft2(padded)
    np.testing.assert_allclose(image, center_pad(centered_ifft2(kspace), size), atol=1e-5)
    np.testing.assert_allclose(crop_kspace(padded, shape[-2:]), kspace, atol=1e-5)
    np.testing.assert_array_equal(center_crop(center_pad(kspace, size), shape[-2:]), kspace)
    np.testing.assert_allclose(np.linalg.norm(image), np.linalg.norm(kspace), rtol=1e-5)


def test_center_pad_puts_zeros_on_both_sides():
    padded = center_pad(np.ones((1, 2)), (2, 5))
    np.testing.assert_array_equal(padded, [[0, 1, 1, 0, 0], [0, 0, 0, 0, 0]])


def test_pad_to_the_same_size_changes_nothing():
    kspace = complex_normal((9, 10))
    np.testing.assert_array_equal(pad_kspace(kspace, (9, 10)), kspace)


@pytest.mark.parametrize("pad", [center_pad, pad_kspace])
def test_a_pad_must_be_larger(pad):
    with pytest.raises(UserError, match="cannot pad 9×10 pixels to 9×9; expected"):
        pad(complex_normal((9, 10)), (9, 9))


@pytest.mark.parametrize("shape", [(4, 4), (5, 6), (3, 7, 5), (1, 9)])
def test_move_origin(shape):
    """Centred transforms then show what a plain inverse transform shows."""
    kspace = complex_normal(shape)
    moved = move_origin(kspace)
    want = np.fft.ifft2(np.fft.ifftshift(kspace, AXES), norm="ortho")
    np.testing.assert_allclose(centered_ifft2(moved), want, atol=1e-5)
    np.testing.assert_allclose(np.abs(moved), np.abs(kspace), rtol=1e-5)
    assert moved.dtype == np.complex64

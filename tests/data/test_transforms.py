"""Transforms against their definitions, and the crop against cropping the image.

K-space with the zero frequency in the corner: noticed, and read with the right option.
"""

import h5py
import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.data.arrays import ArraySource
from jaxnas.data.check import check_source
from jaxnas.data.fastmri import FastMRISource
from jaxnas.data.open import check_fields
from jaxnas.data.section import DataConfig
from jaxnas.data.synthetic import SyntheticSource
from jaxnas.data.transforms import (
    IMAGE_AXES,
    center_crop,
    center_pad,
    centered_fft2,
    centered_ifft2,
    crop_kspace,
    misplaced_axes,
    move_origin,
    pad_kspace,
)
from jaxnas.data.views import FullySampled

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


READERS = {"fastmri": FastMRISource, "arrays": ArraySource}
ORIGIN_SHAPES = [(32, 28), (31, 29), (32, 27)]


def kspace_of(coils, shape):
    source = SyntheticSource(volumes=1, slices=2, size=shape, coils=coils)
    return np.stack([source.read(i).kspace for i in range(2)])


def write(path, kspace, **more):
    with h5py.File(path, "w") as file:
        file["kspace"] = kspace
        for name, values in more.items():
            file[name] = values
    return path


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize("coils", [1, 3])
@pytest.mark.parametrize("shape", ORIGIN_SHAPES, ids=str)
def test_the_corner_is_noticed_and_read(tmp_path, capsys, reader, coils, shape):
    kspace = kspace_of(coils, shape)
    path = write(tmp_path / "v.h5", np.fft.ifftshift(kspace, IMAGE_AXES))
    (problem,) = check_source(path, reader=reader)
    assert not problem.certain and "--origin corner" in problem.message
    FullySampled(reader(path)).check({"v.h5"})
    assert "data.origin: corner" in capsys.readouterr().err
    source = reader(path, origin="corner")
    np.testing.assert_array_equal(source.read(1).kspace, kspace[1])
    assert not check_source(path, reader=lambda file: reader(file, origin="corner"))


@pytest.mark.parametrize("mask", ["columns", "samples"])
def test_the_mask_moves_too(tmp_path, mask):
    kspace = kspace_of(1, (32, 29))
    measured = np.arange(29) % 4 == 0
    measured[12:17] = True
    if mask == "samples":
        measured = measured & (np.arange(32) % 3 < 2)[:, None]
    axes = IMAGE_AXES[-measured.ndim :]
    stored = np.fft.ifftshift(measured, axes)
    path = write(tmp_path / "v.h5", np.fft.ifftshift(kspace * measured, IMAGE_AXES), mask=stored)
    np.testing.assert_array_equal(FastMRISource(path, origin="corner").read(0).mask, measured)


@pytest.mark.parametrize("axis", [0, 1])
def test_one_axis(axis):
    kspace = np.fft.ifftshift(kspace_of(2, (32, 29))[0], IMAGE_AXES[axis])
    assert misplaced_axes(kspace) == (("rows", "columns")[axis],)


@pytest.mark.parametrize("coils", [1, 4])
def test_what_is_centred_noise_or_a_little_off_is_not_said(coils):
    kspace = kspace_of(coils, (32, 40))[0]
    assert misplaced_axes(np.roll(kspace, (4, -3), IMAGE_AXES)) == ()
    assert misplaced_axes(kspace * np.float32(1e30)) == ()
    assert misplaced_axes(np.random.default_rng(0).normal(size=kspace.shape)) == ()
    assert misplaced_axes(np.zeros((8, 8))) == ()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"source": "cc359"}, "data.origin: is 'corner', but data.source is 'cc359'"),
        ({"source": "arrays", "domain": "image"}, "data.origin: is .* data.domain is 'image'"),
    ],
)
def test_where_the_layout_fixes_it(section, message):
    with pytest.raises(UserError, match=message):
        check_fields(DataConfig(path="data", origin="corner", **section))

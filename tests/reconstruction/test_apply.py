"""Reconstructing files: slices in order, in chunks that never grow, compiled once."""

import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.data.source import Slice, SliceRef
from jaxnas.data.transforms import centered_fft2
from jaxnas.mri.acquisition import zero_filled
from jaxnas.mri.section import AcquisitionConfig
from jaxnas.reconstruction.apply import (
    Compiled,
    check_applicable,
    image_size,
    reconstruct_slices,
    sampled,
)

SHAPE = (12, 10)
ACQUISITION = AcquisitionConfig()


class Volume:
    """The table of contents that applying needs."""

    shape = SHAPE

    def __init__(self, image_size):
        self.image_size = image_size


class Scan:
    """An undersampled volume; counts the slices that were read and not yet taken out."""

    def __init__(self, slices):
        rng = np.random.default_rng(0)
        self.mask = np.ones(SHAPE[1], bool)
        self.mask[::3] = False
        images = 1e-4 * rng.normal(size=(slices, *SHAPE))
        self.kspace = (centered_fft2(images) * self.mask).astype(np.complex64)
        self.slices = tuple(SliceRef("a.h5", i, SHAPE, 1, True) for i in range(slices))
        self.read_so_far = 0

    def read(self, i):
        """Slice i."""
        self.read_so_far += 1
        return Slice(self.kspace[i], None, self.mask, "a.h5", i)


def expected(scan):
    return np.abs(np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(scan.kspace, (1, 2)), norm="ortho"),
                                  (1, 2)))  # fmt: skip


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_every_slice_once_in_order(batch):
    scan, method = Scan(7), Compiled(zero_filled, peak=6.0)
    volume = Volume((6, 40))
    assert image_size(volume) == (6, 10) and image_size(Volume(None)) == SHAPE
    images = list(reconstruct_slices(method, scan, ACQUISITION, size=(6, 10), batch=batch))
    np.testing.assert_allclose(images, expected(scan)[:, 3:9], rtol=1e-4, atol=1e-9)
    assert images[0].dtype == np.float32


def test_compiled_once_for_files_of_one_shape():
    method = Compiled(zero_filled, peak=6.0)
    assert method.compile_s == 0
    list(reconstruct_slices(method, Scan(3), ACQUISITION, size=SHAPE, batch=2))
    taken = method.compile_s
    assert taken > 0
    list(reconstruct_slices(method, Scan(5), ACQUISITION, size=SHAPE, batch=2))
    assert method.compile_s == taken
    list(reconstruct_slices(method, Scan(5), ACQUISITION, size=(6, 6), batch=2))
    assert method.compile_s > taken


def test_a_long_volume_is_not_read_ahead_of_its_use():
    """At most the batches that are decoded ahead, under way or handed out are in memory."""
    scan, method = Scan(40), Compiled(zero_filled, peak=6.0)
    for taken, _ in enumerate(reconstruct_slices(method, scan, ACQUISITION, size=SHAPE, batch=2)):
        assert scan.read_so_far <= taken + 2 * 7
    assert scan.read_so_far == 40


class Whole(Scan):
    """A fully sampled volume of five slices: the first and the last are empty."""

    def __init__(self, slices=5):
        super().__init__(slices)
        images = 1e-6 * np.random.default_rng(0).normal(size=(slices, *SHAPE))
        self.kspace = centered_fft2(images).astype(np.complex64)
        self.kspace[[0, -1]] = 0
        self.mask, self.encoded = None, np.arange(SHAPE[1]) > 1
        self.kspace[..., :2] = 0

    def read(self, i):
        """Slice i."""
        return Slice(self.kspace[i], None, None, "a.h5", i, encoded=self.encoded)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_empty_slices_stay_empty_through_a_network_with_biases(batch):
    method = Compiled(lambda measurement: zero_filled(measurement) + 3, peak=6.0)
    images = np.stack(
        list(
            reconstruct_slices(
                method, Whole(), ACQUISITION, size=SHAPE, acceleration=4.0, batch=batch
            )
        )
    )
    assert not images[[0, -1]].any() and 0 < images[1:-1].max() < 1e-4


def test_a_mask_is_drawn_over_the_columns_that_hold_something():
    scan = Whole()
    four, two = (sampled(scan.read(2), ACQUISITION, acceleration=a) for a in (4.0, 2.0))
    assert four.shape == (1, SHAPE[1]) and not four[0, :2].any() and (four != two).any()
    with pytest.raises(UserError, match="every column of kspace is sampled"):
        sampled(scan.read(2), ACQUISITION, acceleration=None)
    assert sampled(scan.read(0), ACQUISITION, acceleration=None).shape == (1, SHAPE[1])


def test_an_acceleration_of_an_undersampled_file_is_refused():
    with pytest.raises(UserError, match=r"a\.h5: .* without 4 of its 10 columns .*cannot apply"):
        check_applicable(Scan(3), ACQUISITION, acceleration=4.0)
    check_applicable(Scan(3), ACQUISITION, acceleration=None)


def test_masks_of_samples_and_of_columns_in_one_batch():
    scan = Scan(4)
    planes = np.random.default_rng(1).uniform(size=(4, *SHAPE)) < 0.5
    scan.kspace = np.where(planes, scan.kspace, 0)
    scan.kspace[0] = 0
    scan.read = lambda i: Slice(scan.kspace[i], None, planes[i] if i else None, "a.h5", i)
    images = list(
        reconstruct_slices(Compiled(zero_filled, peak=6.0), scan, ACQUISITION, size=SHAPE, batch=4)
    )
    np.testing.assert_allclose(images, expected(scan), rtol=1e-4, atol=1e-9)

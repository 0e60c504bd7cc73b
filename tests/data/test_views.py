"""Cropped, calibrated and cached sources."""

import numpy as np
import pytest

from jaxnas.data.coils import combine
from jaxnas.data.source import Source
from jaxnas.data.synthetic import SyntheticSource
from jaxnas.data.transforms import center_crop, crop_kspace
from jaxnas.data.views import Cached, Calibrated, Cropped, center_run


class Counting:
    """Counts how often each slice of `source` is really read."""

    def __init__(self, source):
        self.source, self.slices, self.reads = source, source.slices, []

    def read(self, i):
        self.reads.append(i)
        return self.source.read(i)


@pytest.fixture(scope="module")
def coils():
    return SyntheticSource(volumes=1, slices=3, size=(33, 30), coils=3)


def test_views_are_sources(coils):
    for view in (Cropped(coils, 16), Calibrated(coils), Cached(coils, max_bytes=1)):
        assert isinstance(view, Source)


def test_cropped_kspace_still_belongs_to_its_maps(coils):
    item, whole = Cropped(coils, (20, 21)).read(1), coils.read(1)
    assert item.kspace.shape == item.sens.shape == (3, 20, 21)
    np.testing.assert_array_equal(item.kspace, crop_kspace(whole.kspace, (20, 21)))
    image = combine(whole.kspace, whole.sens)
    want = center_crop(image, (20, 21))
    np.testing.assert_allclose(combine(item.kspace, item.sens), want, atol=1e-5)


def test_calibrated_keeps_given_maps_and_single_coils(coils):
    assert Calibrated(coils).read(0).sens is not None
    np.testing.assert_array_equal(Calibrated(coils).read(0).sens, coils.read(0).sens)
    single = SyntheticSource(volumes=1, slices=1, size=16)
    assert Calibrated(single).read(0).sens is None


class Stripped:
    """`source` without its maps, undersampled with `mask` where given."""

    def __init__(self, source, mask=None):
        self.source, self.slices, self.mask = source, source.slices, mask

    def read(self, i):
        item = self.source.read(i)
        kspace = item.kspace if self.mask is None else np.where(self.mask, item.kspace, 0)
        return item._replace(kspace=kspace, sens=None, mask=self.mask)


def test_calibration_uses_the_measured_centre_only():
    coils = SyntheticSource(volumes=1, slices=1, size=96, coils=4)
    mask = np.arange(96) % 5 == 0
    mask[44:52] = True
    full = Calibrated(Stripped(coils), fraction=8 / 96).read(0).sens
    np.testing.assert_array_equal(Calibrated(Stripped(coils, mask)).read(0).sens, full)


def test_cache_is_bounded_and_least_recently_used(coils):
    counting = Counting(coils)
    item = coils.read(0)
    size = item.kspace.nbytes + item.sens.nbytes
    cached = Cached(counting, max_bytes=2 * size + 10)
    for i in (0, 1, 0, 2, 0, 1):  # 2 evicts 1, since 0 was used later
        np.testing.assert_array_equal(cached.read(i).kspace, coils.read(i).kspace)
        assert cached.bytes <= cached.max_bytes
    assert counting.reads == [0, 1, 2, 1]
    assert cached.bytes == 2 * size


def test_a_slice_larger_than_the_cache_is_not_kept(coils):
    counting = Counting(coils)
    cached = Cached(counting, max_bytes=100)
    cached.read(0), cached.read(0)
    assert counting.reads == [0, 0] and cached.bytes == 0


@pytest.mark.parametrize(
    ("mask", "want"), [("0011100", 3), ("0101101", 2), ("1111111", 7), ("0110110", 0)]
)
def test_center_run(mask, want):
    assert center_run(np.array([c == "1" for c in mask])) == want

"""Cropped, padded, calibrated, combined and cached sources."""

import numpy as np
import pytest

from jaxnas.core.errors import UserError
from jaxnas.data.coils import combine_coils
from jaxnas.data.source import Slice, SliceRef, Source
from jaxnas.data.synthetic import SyntheticSource
from jaxnas.data.transforms import center_crop, centered_fft2, centered_ifft2, crop_kspace
from jaxnas.data.views import (
    Cached,
    Calibrated,
    CoilCombined,
    Cropped,
    Padded,
    Thinned,
    center_run,
    center_share,
)


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
    for view in (
        Cropped(coils, 16),
        Padded(coils, 40),
        Calibrated(coils),
        CoilCombined(coils),
        Cached(coils, max_bytes=1),
    ):
        assert isinstance(view, Source)


def test_cropped_kspace_still_belongs_to_its_maps(coils):
    item, whole = Cropped(coils, (20, 21)).read(1), coils.read(1)
    assert item.kspace.shape == item.sens.shape == (3, 20, 21)
    np.testing.assert_array_equal(item.kspace, crop_kspace(whole.kspace, (20, 21)))
    image = combine_coils(whole.kspace, whole.sens)
    want = center_crop(image, (20, 21))
    np.testing.assert_allclose(combine_coils(item.kspace, item.sens), want, atol=1e-5)


COLUMNS = np.isin(np.arange(14), range(2, 12))


class Given:
    """One slice, as given, in a volume called `given`."""

    def __init__(self, kspace, *, sens=None, mask=None, encoded=None):
        coils = kspace.shape[0] if kspace.ndim == 3 else 1
        self.slices = (SliceRef("given", 0, kspace.shape[-2:], coils, mask is not None),)
        self.item = Slice(kspace, sens, mask, "given", 0, encoded=encoded)

    def read(self, i):
        return self.item


def numbers(*shape):
    re, im = np.random.default_rng(0).normal(size=(2, *shape))
    return (re + 1j * im).astype(np.complex64)


def test_padded_images_stand_in_zeros(coils):
    padded, whole = Padded(coils, (36, 33)), coils.read(1)
    item = padded.read(1)
    assert padded.slices[1].shape == (36, 33) and item.kspace.shape == item.sens.shape
    images = np.zeros((3, 36, 33), np.complex64)
    images[:, 1:34, 1:31] = centered_ifft2(whole.kspace)
    np.testing.assert_allclose(centered_ifft2(item.kspace), images, atol=1e-5)
    assert np.count_nonzero(item.sens) == np.count_nonzero(whole.sens)
    np.testing.assert_allclose(
        combine_coils(item.kspace, item.sens)[1:34, 1:31],
        combine_coils(whole.kspace, whole.sens),
        atol=1e-5,
    )
    back = Cropped(padded, (33, 30)).read(1)
    np.testing.assert_allclose(back.kspace, whole.kspace, atol=1e-5)
    np.testing.assert_array_equal(back.sens, whole.sens)


def test_padding_columns_of_kspace_end_with_a_new_grid():
    source = Given(numbers(17, 14), encoded=COLUMNS)
    assert Padded(source, (20, 14)).read(0).encoded is COLUMNS, "rows do not matter"
    assert Padded(source, (17, 16)).read(0).columns.all()


def test_a_pad_smaller_than_a_volume_names_it(coils):
    with pytest.raises(UserError, match=r"synthetic_0000_T1: cannot pad 33×30 .* to 32×40"):
        Padded(coils, (32, 40))


def test_undersampled_slices_are_padded_along_rows_only():
    mask = np.arange(14) % 2 == 0
    source = Given(np.where(mask, numbers(17, 14), 0), mask=mask)
    item = Padded(source, (19, 14)).read(0)
    assert item.kspace.shape == (19, 14) and not item.kspace[:, ~mask].any()
    with pytest.raises(UserError, match="given: cannot pad 14 columns to 16") as caught:
        Padded(source, (19, 16))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(17, 14), (16, 15)])
def test_coil_combined(shape):
    kspace, sens = numbers(3, *shape), numbers(3, *shape)[::-1]
    combined = CoilCombined(Given(kspace, sens=sens, encoded=np.arange(shape[1]) > 1))
    item = combined.read(0)
    assert combined.slices[0].coils == 1
    assert item.kspace.shape == shape and item.sens is None and item.columns.all()
    axes = (-2, -1)
    images = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace, axes), norm="ortho"), axes)
    np.testing.assert_allclose(
        centered_ifft2(item.kspace), np.sum(sens.conj() * images, axis=0), atol=1e-4
    )
    np.testing.assert_allclose(item.kspace, centered_fft2(combine_coils(kspace, sens)), atol=1e-5)


def test_combining_uses_estimated_maps(coils):
    calibrated = Calibrated(Stripped(coils))
    item, whole = CoilCombined(calibrated).read(2), calibrated.read(2)
    np.testing.assert_allclose(
        centered_ifft2(item.kspace), combine_coils(whole.kspace, whole.sens), atol=1e-5
    )


def test_combining_leaves_a_single_coil_alone():
    source = Given(numbers(17, 14), encoded=COLUMNS)
    assert CoilCombined(source).read(0) is source.item


def test_combining_needs_maps_and_all_columns():
    with pytest.raises(ValueError, match="given: expected sens with several coils"):
        CoilCombined(Given(numbers(2, 17, 14))).read(0)
    masked = Given(numbers(2, 17, 14), mask=np.arange(14) % 2 == 0)
    with pytest.raises(UserError, match="given: is undersampled, and combining its 2 coils"):
        CoilCombined(masked)
    single = Given(numbers(17, 14), mask=np.arange(14) % 2 == 0)
    assert CoilCombined(single).read(0) is single.item


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


@pytest.mark.parametrize("size", [(40, 56), (39, 57)])
def test_calibration_of_points_uses_the_measured_ellipse_only(size):
    coils = SyntheticSource(volumes=1, slices=1, size=size, coils=4)
    center = np.argwhere(np.ones(size)) - np.array(size) // 2
    mask = ((2 * center / size) ** 2).sum(1).reshape(size) < 0.3**2
    mask[1::9, ::7] = True
    share = center_share(mask)
    assert 0.3 <= share < 0.36
    full = Calibrated(Stripped(coils), fraction=share, points=True).read(0).sens
    np.testing.assert_array_equal(Calibrated(Stripped(coils, mask)).read(0).sens, full)
    # What lies outside of the centre makes no difference to them.
    again = Calibrated(Stripped(coils, mask & (np.arange(size[1]) > 3))).read(0).sens
    np.testing.assert_array_equal(again, full)
    assert center_share(np.ones(size, bool)) == 1


@pytest.mark.parametrize("part", ["1:", ":-1", "::2", "-3:-1", "1:6:3"])
def test_thinned_volumes_keep_what_python_would(part):
    source = SyntheticSource(volumes=2, slices=6, size=16)
    thinned = Thinned(source, part)
    kept = eval(f"range(6)[{part}]")
    names = list(dict.fromkeys(ref.volume for ref in source.slices))
    assert [(r.volume, r.index) for r in thinned.slices] == [(n, i) for n in names for i in kept]
    for i, ref in enumerate(thinned.slices):
        assert thinned.read(i).index == ref.index and thinned.read(i).volume == ref.volume


def test_a_volume_with_nothing_left_is_named():
    with pytest.raises(UserError, match=r"synthetic_0000_T1: '9:' leaves none of its 6 slices"):
        Thinned(SyntheticSource(volumes=1, slices=6, size=16), "9:")


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

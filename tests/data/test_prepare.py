"""Preparation and its inverse, against scipy and on hearts of known shape."""

import numpy as np
import pytest
from scipy import ndimage

from jaxnas.core.errors import UserError
from jaxnas.data.annotation import LabeledVolume
from jaxnas.data.heart import HeartSource
from jaxnas.data.prepare import Preparation


def volume_of(image, labels=None, spacing=(8.0, 1.5, 1.5)):
    return LabeledVolume(np.asarray(image, np.float32), labels, spacing, None, "v", "p", "ED")


def one_hot(labels):
    return np.eye(4, dtype=np.float32)[labels]


def dice(a, b, k):
    return 2 * np.count_nonzero((a == k) & (b == k)) / (np.sum(a == k) + np.sum(b == k))


@pytest.fixture(scope="module")
def hearts():
    return HeartSource(patients=5, slices=6, size=(150, 131), seed=1)


@pytest.mark.parametrize("shape", [(3, 20, 17), (1, 9, 31), (2, 16, 16)])
@pytest.mark.parametrize("margin", [(0, 0), (1, 6), (13, 2)])
def test_exact_where_nothing_is_resampled_or_cut(shape, margin):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, shape).astype(np.uint8)
    size = (shape[1] + margin[0], shape[2] + margin[1])
    for preparation, spacing in (
        (Preparation(spacing=None, size=size), (9.0, 1.1, 1.7)),
        (Preparation(spacing=1.5, size=size), (9.0, np.float32(1.5), 1.5)),
    ):
        volume = volume_of(rng.normal(size=shape), labels, spacing)
        image, prepared = preparation.forward(volume)
        assert image.shape == prepared.shape == (shape[0], *size)
        assert image.dtype == np.float32 and prepared.dtype == np.uint8
        np.testing.assert_array_equal(preparation.inverse(one_hot(prepared), volume), labels)


def test_crop_and_padding_are_central_and_zero():
    image = np.random.default_rng(0).normal(5, 2, (2, 11, 6))
    prepared, labels = Preparation(spacing=None, size=(7, 9), clip=(0, 100)).forward(
        volume_of(image)
    )
    assert labels is None
    want = (image - image.mean()) / image.std()
    np.testing.assert_allclose(prepared[:, :, 1:7], want[:, 2:9], rtol=1e-4, atol=1e-5)
    assert not prepared[:, :, 0].any() and not prepared[:, :, 7:].any()


def test_intensities_are_clipped_and_normalised_per_volume():
    rng = np.random.default_rng(0)
    image = rng.gamma(2, 100, (4, 20, 20)).astype(np.float32)
    image[0, 0, 0] = 1e6
    preparation = Preparation(spacing=None, size=(20, 20), clip=(2, 98))
    prepared, _ = preparation.forward(volume_of(image))
    assert prepared.mean() == pytest.approx(0, abs=1e-5)
    assert prepared.std() == pytest.approx(1, abs=1e-5)
    low, high = np.quantile(image, [0.02, 0.98])
    want = (np.clip(image, low, high) - np.clip(image, low, high).mean()) / np.clip(
        image, low, high
    ).std()
    np.testing.assert_allclose(prepared, want, atol=1e-4)
    scaled, _ = preparation.forward(volume_of(7 * image + 300))
    np.testing.assert_allclose(scaled, prepared, atol=1e-3)


@pytest.mark.parametrize("value", [0, 3.5, 700])
def test_an_image_of_one_value_is_zeros(value):
    prepared, _ = Preparation(size=(8, 8)).forward(volume_of(np.full((2, 9, 9), value)))
    np.testing.assert_array_equal(prepared, 0)


@pytest.mark.parametrize("spacing", [(8.0, 1.5, 1.9), (8.0, 2.3, 1.7)])
def test_interpolation_is_scipys(spacing):
    """Pixels of the file are larger: the image is interpolated without smoothing."""
    image = np.random.default_rng(0).normal(size=(2, 13, 12))
    want = (image - image.mean()) / image.std()
    grid = [round(n * s / 1.5) for n, s in zip((13, 12), spacing[1:])]
    steps = [1.5 / s for s in spacing[1:]]
    offset = [(n - 1) / 2 - (m - 1) / 2 * r for n, m, r in zip((13, 12), grid, steps)]
    want = ndimage.affine_transform(
        want, [1, *steps], [0, *offset], output_shape=(2, *grid), order=1, mode="nearest"
    )
    preparation = Preparation(spacing=1.5, size=tuple(grid), clip=(0, 100))
    prepared, _ = preparation.forward(volume_of(image, spacing=spacing))
    np.testing.assert_allclose(prepared, want, atol=1e-4)


def test_the_inverse_is_scipys():
    rng = np.random.default_rng(0)
    scores = ndimage.gaussian_filter(rng.uniform(size=(2, 14, 12, 4)), (0, 1.5, 1.5, 0))
    volume = volume_of(np.zeros((2, 19, 15)), spacing=(8.0, 1.1, 1.2))
    steps, offset = (1.1 / 1.5, 1.2 / 1.5), []
    for n, m, r in zip((19, 15), (14, 12), steps):
        offset.append((m - 1) / 2 - (n - 1) / 2 * r)
    want = [
        ndimage.affine_transform(
            scores[..., k],
            [1, *steps],
            [0, *offset],
            output_shape=(2, 19, 15),
            order=1,
            mode="nearest",
        )
        for k in range(4)
    ]
    found = Preparation(spacing=1.5, size=(14, 12)).inverse(scores, volume)
    assert np.mean(found == np.argmax(want, axis=0)) > 0.998  # equal but for ties by rounding


def test_fine_detail_does_not_alias():
    stripes = np.tile(np.resize([0.0, 1.0], 64), (1, 64, 1))
    preparation = Preparation(spacing=3.0, size=(32, 32), clip=(0, 100))
    smooth, _ = preparation.forward(volume_of(stripes, spacing=(8.0, 1.0, 1.0)))
    assert np.abs(smooth[:, 4:-4, 4:-4]).max() < 0.35


@pytest.mark.parametrize("spacing", [(8.0, 1.4, 1.4), (8.0, 1.37, 1.68), (8.0, 0.9, 0.9)])
def test_a_place_in_the_file_is_the_same_place_in_the_slice(spacing):
    """A blob off the centre comes out where geometry puts it, in mm from the centre."""
    y, x = (np.arange(n) - (n - 1) / 2 for n in (61, 70))
    blob = np.exp(-((y[:, None] * spacing[1] - 9) ** 2 + (x * spacing[2] + 6) ** 2) / 50)
    prepared, _ = Preparation(spacing=1.5, size=(40, 40), clip=(0, 100)).forward(
        volume_of(blob[None], spacing=spacing)
    )
    weight = np.clip(prepared[0] - prepared[0].min(), 0, None) ** 2
    rows, columns = ndimage.center_of_mass(weight)
    grid = [round(n * s / 1.5) for n, s in zip(blob.shape, spacing[1:])]
    starts = [(g - 40) // 2 if g > 40 else -((40 - g) // 2) for g in grid]
    found = [(c + s - (g - 1) / 2) * 1.5 for c, s, g in zip((rows, columns), starts, grid)]
    np.testing.assert_allclose(found, (9, -6), atol=0.1)


@pytest.mark.parametrize("spacing", [1.5, 1.37, None])
@pytest.mark.parametrize("native", [(1.37, 1.37), (1.68, 1.68), (1.25, 1.56)])
def test_labels_survive_the_round_trip(hearts, spacing, native):
    preparation = Preparation(spacing=spacing, size=(192, 192))
    for patient in range(5):
        volume = hearts.frame(patient, 0)
        volume = volume._replace(spacing=(8.0, *native))
        _, prepared = preparation.forward(volume)
        back = preparation.inverse(one_hot(prepared), volume)
        for k in range(1, 4):
            assert dice(back, volume.labels, k) > (0.95 if spacing else 1 - 1e-12)


def test_what_is_cut_off_is_background():
    labels = np.full((1, 20, 20), 3, np.uint8)
    for spacing in (1.0, 1.5):
        preparation = Preparation(spacing=spacing, size=(8, 8))
        volume = volume_of(np.zeros((1, 20, 20)), labels, (8.0, 1.0, 1.0))
        back = preparation.inverse(one_hot(preparation.forward(volume)[1]), volume)
        inside = back[0] == 3
        assert inside[10, 10] and not inside[:3].any() and not inside[:, :3].any()
        assert np.count_nonzero(inside) == pytest.approx((8 * spacing) ** 2, rel=0.3)
        assert set(np.unique(back)) == {0, 3}


def test_the_crop_knows_nothing_of_labels():
    rng = np.random.default_rng(0)
    image, preparation = rng.normal(size=(2, 30, 30)), Preparation(size=(12, 12))
    corner = np.zeros((2, 30, 30), np.uint8)
    corner[:, :5, :5] = 3
    for labels in (corner, corner[:, ::-1, ::-1], None):
        prepared, _ = preparation.forward(volume_of(image, labels))
        np.testing.assert_array_equal(prepared, preparation.forward(volume_of(image))[0])


@pytest.mark.parametrize(
    "wrong",
    [{"spacing": 0.0}, {"spacing": -1.5}, {"size": (0, 8)}, {"clip": (99, 1)}, {"clip": (1, 101)}],
)
def test_impossible_preparations(wrong):
    with pytest.raises(ValueError, match="expected"):
        Preparation(**wrong)


def test_probabilities_of_another_shape():
    volume = volume_of(np.zeros((2, 9, 9)))
    for shape in ((2, 8, 8), (3, 8, 8, 4), (2, 9, 8, 4)):
        with pytest.raises(ValueError, match="expected probabilities"):
            Preparation(size=(8, 8)).inverse(np.zeros(shape), volume)


@pytest.mark.parametrize("pixel", [0.0015, 0.18, 12.1, 1500.0])
@pytest.mark.parametrize("axis", [1, 2])
def test_a_voxel_size_that_cannot_be_is_refused(pixel, axis):
    """Metres or micrometres for millimetres: no volume vanishes or explodes."""
    spacing = [10.0, 1.5, 1.5]
    spacing[axis] = pixel
    volume = volume_of(np.zeros((2, 16, 16)), None, tuple(spacing))
    with pytest.raises(UserError) as error:
        Preparation(spacing=1.5, size=(8, 8)).forward(volume)
    assert f"{pixel:.4g}" in str(error.value) and "to 1.5 mm" in str(error.value)
    Preparation(spacing=None, size=(8, 8)).forward(volume)


@pytest.mark.parametrize("value", [0.0, 0.1, 7.0, -1e-7])
def test_an_image_of_one_value_has_no_contrast(value):
    image, _ = Preparation(size=(8, 8)).forward(volume_of(np.full((3, 11, 13), value)))
    assert not image.any()

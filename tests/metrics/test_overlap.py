"""Overlap of segmentations against loops over voxels, loops over surface points, closed forms."""

import itertools

import numpy as np
import pytest
from skimage.metrics import hausdorff_distance

from jaxnas.metrics import overlap

LABELS = (1, 2, 3)


def blobs(seed, shape=(4, 9, 8), classes=4):
    """Labels in patches, so that they have an inside."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, classes, tuple(-(-n // 3) for n in shape))
    fine = coarse.repeat(3, 0).repeat(3, 1).repeat(3, 2)
    return fine[tuple(slice(n) for n in shape)].astype(np.uint8)


def surface_by_loop(mask):
    """Voxels with a face neighbour outside the mask or the grid."""
    points = []
    for place in zip(*np.nonzero(mask)):
        for axis, step in itertools.product(range(mask.ndim), (-1, 1)):
            near = list(place)
            near[axis] += step
            inside = all(0 <= i < n for i, n in zip(near, mask.shape))
            if mask.shape[axis] > 1 and not (inside and mask[tuple(near)]):
                points.append(place)
                break
    return np.array(points, float)


def hd95_by_loop(a, b, spacing):
    """All pairs of surface points."""
    p, q = surface_by_loop(a) * spacing, surface_by_loop(b) * spacing
    distances = np.linalg.norm(p[:, None] - q[None], axis=-1)
    return max(np.percentile(distances.min(1), 95), np.percentile(distances.min(0), 95))


def ball(shape, centre, radius):
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    return (np.linalg.norm(grid - centre, axis=-1) <= radius).astype(np.uint8)


@pytest.mark.parametrize("seed", range(4))
def test_dice_is_the_counts_of_a_loop(seed):
    truth, prediction = blobs(seed), blobs(seed + 100)
    got = overlap.dice(truth, prediction, LABELS)
    for label, score in zip(LABELS, got):
        pairs = [(t == label, p == label) for t, p in zip(truth.ravel(), prediction.ravel())]
        tp, fp, fn = (pairs.count(x) for x in ((True, True), (False, True), (True, False)))
        assert score == pytest.approx(2 * tp / (2 * tp + fp + fn))


def test_dice_of_a_shifted_cube():
    """A cube of side n shifted by s along one axis keeps (n − s)/n of itself."""
    truth, prediction = np.zeros((2, 12, 12, 12), np.uint8)
    truth[2:8, 2:8, 2:8] = 1
    prediction[2:8, 4:10, 2:8] = 1
    np.testing.assert_allclose(overlap.dice(truth, prediction, (1,)), 4 / 6)


def test_empty_classes_are_undefined_or_zero():
    truth = np.array([[0, 1, 1]], np.uint8)
    prediction = np.array([[0, 2, 1]], np.uint8)
    got = overlap.dice(truth, prediction, LABELS)
    np.testing.assert_allclose(got, [2 / 3, 0, np.nan])
    distances = overlap.hd95(truth, prediction, LABELS, (1, 1))
    assert np.isfinite(distances[0]) and np.isnan(distances[1:]).all()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", [(4, 9, 8), (1, 12, 9)])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (8.0, 1.4, 1.7)])
def test_hd95_is_the_loop_over_surface_points(seed, shape, spacing):
    truth, prediction = blobs(seed, shape), blobs(seed + 100, shape)
    got = overlap.hd95(truth, prediction, LABELS, spacing)
    for label, value in zip(LABELS, got):
        a, b = truth == label, prediction == label
        if a.any() and b.any():
            assert value == pytest.approx(hd95_by_loop(a, b, np.array(spacing)))
        else:
            assert np.isnan(value)


def test_surface_is_that_of_the_loop():
    mask = blobs(3) == 1
    assert {*map(tuple, np.argwhere(overlap.surface(mask)))} == {
        *map(tuple, surface_by_loop(mask).astype(int))
    }
    one = np.ones((1, 1, 1), bool)
    assert overlap.surface(one).all()


def test_hd95_of_shifted_cubes_and_of_spheres():
    cube, shifted = np.zeros((2, 20, 20, 20), np.uint8)
    cube[4:10, 4:10, 4:10] = 1
    shifted[4:10, 4:10, 7:13] = 1
    # Shifted by 3 voxels of 2 mm: the far faces, more than 5 % of the surface, are 6 mm away.
    np.testing.assert_allclose(overlap.hd95(cube, shifted, (1,), (1, 1, 2)), 6)
    inner, outer = ball((31, 31, 31), 15, 6), ball((31, 31, 31), 15, 10)
    np.testing.assert_allclose(overlap.hd95(inner, outer, (1,), (1, 1, 1)), 4, atol=0.6)


def test_hd95_is_symmetric_and_below_the_largest_distance():
    truth, prediction = blobs(5), blobs(6)
    args = LABELS, (2.0, 1.0, 1.0)
    forth, back = overlap.hd95(truth, prediction, *args), overlap.hd95(prediction, truth, *args)
    np.testing.assert_array_equal(forth, back)
    for label, value in zip(LABELS, overlap.hd95(truth, prediction, LABELS, (1, 1, 1))):
        edges = [overlap.surface(x == label) for x in (truth, prediction)]
        assert value <= hausdorff_distance(*edges) + 1e-9
    np.testing.assert_array_equal(overlap.hd95(truth, truth, *args), 0)


def test_errors_of_one_side_are_not_diluted_by_the_other():
    """Two strays are 9 % of the prediction's surface, but under 5 % of both surfaces together."""
    truth, prediction = np.zeros((2, 40, 40), np.uint8)
    truth[5:11, 5:11] = prediction[5:11, 5:11] = 1
    prediction[30, 30] = prediction[34, 34] = 1
    assert len(surface_by_loop(truth)) == 20
    assert overlap.hd95(truth, prediction, (1,), (1, 1))[0] > 20


def test_volumes_and_ejection_fraction():
    heart = np.zeros((2, 10, 10), np.uint8)
    heart[:, :5, :4] = 3
    assert overlap.volume_ml(heart, (10, 1.5, 1.5), label=3) == pytest.approx(40 * 22.5 / 1000)
    assert overlap.ejection_fraction(120.0, 48.0) == pytest.approx(60)
    assert np.isnan(overlap.ejection_fraction(0.0, 0.0))


def test_pearson_is_scipy_s_over_finite_pairs():
    from scipy.stats import pearsonr

    x, y = np.random.default_rng(0).normal(size=(2, 20))
    assert overlap.pearson(x, y) == pytest.approx(pearsonr(x, y).statistic)
    assert overlap.pearson([*x, np.nan], [*y, 3.0]) == pytest.approx(overlap.pearson(x, y))
    assert np.isnan(overlap.pearson([1.0], [2.0]))
    assert np.isnan(overlap.pearson([1.0, 1.0], [2.0, 3.0]))


def test_wrong_labels_are_refused():
    labels = np.zeros((2, 3, 3), np.uint8)
    with pytest.raises(ValueError, match="one shape"):
        overlap.dice(labels, labels[:1], LABELS)
    with pytest.raises(ValueError, match="integer labels"):
        overlap.dice(labels, labels.astype(float), LABELS)
    with pytest.raises(ValueError, match="3 spacings"):
        overlap.hd95(labels, labels, LABELS, (1.0, 1.0))

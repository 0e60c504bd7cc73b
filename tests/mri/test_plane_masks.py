"""Masks of single points: their density, distances, and those that CC359 comes with."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from jaxnas.mri import plane_masks
from jaxnas.mri.masks import make_mask

ACCELERATIONS = [(2, 1), (4, 2), (5, 2), (8, 5), (10, 5), (20, 10)]


def make(kind, acceleration, *, size=(96, 120), fraction=0.1, seed=0):
    return make_mask(
        kind, size, accelerations=[acceleration], center_fractions=[fraction], seed=seed
    ).samples


def nearest(mask):
    """Every point's distance to its nearest neighbour."""
    points = np.argwhere(mask)
    return cKDTree(points).query(points, k=2)[0][:, 1]


@pytest.mark.parametrize("acceleration, squared", ACCELERATIONS)
def test_poisson_points_keep_their_distance(acceleration, squared):
    """Every drawn point to all others, the centre included; and no other place is left far off."""
    for seed in range(3):
        mask = make("poisson", acceleration, seed=seed)
        centre = plane_masks.center_ellipse(mask.shape, 0.1)
        drawn = np.argwhere(mask & ~centre)
        distance = cKDTree(np.argwhere(mask)).query(drawn, k=2)[0][:, 1]
        assert distance.min() >= np.sqrt(squared) - 1e-9
        holes, _ = cKDTree(np.argwhere(mask)).query(np.argwhere(~mask))
        assert holes.max() <= 2.1 * np.sqrt(acceleration)


@pytest.mark.parametrize("acceleration", [2, 4.7, 10])
@pytest.mark.parametrize("size", [(96, 120), (31, 64)])
def test_poisson_has_exactly_the_named_number_of_points(acceleration, size):
    mask = make("poisson", acceleration, size=size)
    assert mask.sum() == round(mask.size / acceleration)


def test_poisson_points_are_spread_more_evenly_than_chance():
    """The number of points in tiles varies less than that of independent ones."""

    def spread(mask):
        return mask[:96, :120].reshape(8, 12, 10, 12).sum((1, 3)).std()

    for seed in range(3):
        even = make("poisson", 5, fraction=0.01, seed=seed)
        chance = np.random.default_rng(seed).uniform(size=even.shape) < even.mean()
        assert spread(even) < 0.6 * spread(chance)


def test_chances_follow_their_density():
    size, center = (60, 80), plane_masks.center_ellipse((60, 80), 0.1)
    chances = plane_masks.density_chances(center, 6)
    np.testing.assert_allclose(chances.sum(), 60 * 80 / 6)
    assert (chances[center] == 1).all() and chances.max() == 1
    y, x = np.mgrid[:60, :80]
    r2 = ((y - 30) / 30) ** 2 + ((x - 40) / 40) ** 2
    partial = (chances < 1) & ~center
    ratio = chances[partial] / np.exp(-r2[partial] / (2 * plane_masks._DENSITY_WIDTH**2))
    np.testing.assert_allclose(ratio, ratio[0])
    assert (ratio[0] * np.exp(-r2[chances == 1] / (2 * plane_masks._DENSITY_WIDTH**2)) >= 1)[
        ~center[chances == 1]
    ].all()
    drawn = np.mean([make("random_2d", 6, size=size, seed=seed) for seed in range(300)], axis=0)
    assert np.abs(drawn - chances).max() < 0.16  # 5 standard errors


@pytest.mark.parametrize("acceleration", [1, 1.05, 3, 100])
def test_chances_reach_any_acceleration(acceleration):
    center = plane_masks.center_ellipse((40, 50), 0.05)
    chances = plane_masks.density_chances(center, acceleration)
    np.testing.assert_allclose(chances.sum(), 2000 / acceleration, rtol=1e-6)
    assert chances.min() > 0 if acceleration == 1 else chances.min() >= 0


@pytest.mark.real_data
@pytest.mark.parametrize("name, acceleration", [("R5", 5), ("R10", 10)])
def test_poisson_is_like_the_masks_of_cc359(real_data, name, acceleration):
    official = np.load(real_data / "masks" / "poisson_218x170.npz")[name][:5]
    encoded = np.arange(170) < 145
    size, fraction = official.shape[1:], 0.186  # the area of its disc of radius 17.9
    ours = np.stack(
        [
            make("poisson", acceleration, size=size, fraction=fraction, seed=i) & encoded
            for i in range(5)
        ]
    )
    np.testing.assert_allclose(ours.sum() / official.sum(), 1, atol=0.05)
    assert abs(plane_masks.center_ellipse(size, fraction).sum() - official.all(0).sum()) < 30
    y, x = np.mgrid[:218, :170]
    outside = (np.hypot(y - 109, x - 85) > 24) & encoded
    np.testing.assert_allclose(ours[:, outside].mean() / official[:, outside].mean(), 1, atol=0.08)
    theirs, own = (
        np.concatenate([nearest(m & outside) for m in masks]) for masks in (official, ours)
    )
    np.testing.assert_allclose(np.median(own), np.median(theirs), rtol=0.1)
    np.testing.assert_allclose(own.mean(), theirs.mean(), rtol=0.15)
    assert own.std() < theirs.std(), "no pair of ours was moved together by rounding to a grid"

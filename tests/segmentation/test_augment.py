"""Augmentation: nothing at strength 0, else scipy's affine map, one pose for image and labels."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import affine_transform

from jaxnas.segmentation import augment as module
from jaxnas.segmentation.augment import NONE, Augmentation, Pose, augment, draw_pose, move

SHAPE = (3, 20, 17)


@pytest.fixture
def batch():
    """Images and labels of no symmetry."""
    rng = np.random.default_rng(0)
    image = rng.normal(size=SHAPE).astype(np.float32)
    label = rng.integers(0, 4, SHAPE).astype(np.uint8)
    return jnp.asarray(image), jnp.asarray(label)


def pose(angle=0.0, scale=1.0, shift=(0.0, 0.0), n=SHAPE[0]):
    return Pose(jnp.full(n, angle), jnp.full(n, scale), jnp.tile(jnp.array([shift]), (n, 1)))


def by_scipy(image, angle, scale, shift, order):
    """The same map from its definition: y(s) = x(c + R(−θ)(s − c − shift)/scale)."""
    centre = (np.array(image.shape) - 1) / 2
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / scale
    offset = centre - turn @ (centre + shift)
    return affine_transform(image, turn, offset, order=order, mode="grid-constant", cval=0)


def test_no_strength_changes_no_bit(key, batch):
    image, label = jax.jit(lambda *x: augment(*x, NONE))(key, *batch)
    np.testing.assert_array_equal(image, batch[0])
    np.testing.assert_array_equal(label, batch[1])
    assert label.dtype == jnp.uint8


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Augmentation)])
def test_every_strength_does_something_of_its_own(key, batch, field):
    default = getattr(Augmentation(), field)
    image, label = augment(key, *batch, dataclasses.replace(NONE, **{field: default}))
    assert jnp.abs(image - batch[0]).max() > 1e-3
    moved = field in ("rotation", "scale", "shift")
    assert bool((label != batch[1]).any()) == moved


@pytest.mark.parametrize(
    ("angle", "scale", "shift"),
    [(0.3, 1.0, (0, 0)), (0.0, 1.2, (0, 0)), (0.0, 1.0, (2.3, -1.6)), (-0.5, 0.8, (1.5, 2.5))],
)
def test_the_image_moves_as_scipy_moves_it(batch, angle, scale, shift):
    got, _ = move(pose(angle, scale, shift), *batch)
    for mine, image in zip(got, np.asarray(batch[0])):
        np.testing.assert_allclose(mine, by_scipy(image, angle, scale, shift, 1), atol=2e-5)


def test_whole_pixels_and_quarter_turns_are_exact(batch):
    image, label = move(pose(shift=(2.0, -3.0)), *batch)
    for got, want in ((image, batch[0]), (label, batch[1])):
        np.testing.assert_array_equal(got[:, 2:, :-3], want[:, :-2, 3:])
        assert not got[:, :2].any() and not got[:, :, -3:].any()
    square = [x[:, :17] for x in batch]
    image, label = move(pose(np.pi / 2), *square)
    np.testing.assert_allclose(image, jnp.rot90(square[0], 1, (1, 2)), atol=1e-5)
    np.testing.assert_array_equal(label, jnp.rot90(square[1], 1, (1, 2)))


@pytest.mark.parametrize("seed", range(3))
def test_labels_move_with_their_image(seed):
    """Labels as an image: wherever all four neighbours agree, both gathers say the same."""
    coarse = jax.random.randint(jax.random.key(9), (2, 8, 8), 0, 4)
    label = coarse.repeat(4, 1).repeat(4, 2).astype(jnp.uint8)
    drawn = draw_pose(jax.random.key(seed), label.shape, Augmentation())
    soft, hard = zip(*(move(drawn, (label == k).astype(jnp.float32), label) for k in range(1, 4)))
    certain = jnp.stack([jnp.abs(x - 0.5) > 0.4999 for x in soft]).all(0)
    assert certain.mean() > 0.3
    for k, share in enumerate(soft, start=1):
        np.testing.assert_array_equal((share > 0.5)[certain], (hard[0] == k)[certain])
    assert (hard[0] != label).mean() > 0.02


def test_slices_differ_and_the_key_decides(key, batch):
    same = jnp.tile(batch[0][:1], (3, 1, 1)), jnp.tile(batch[1][:1], (3, 1, 1))
    image, _ = augment(key, *same, Augmentation())
    again, _ = augment(key, *same, Augmentation())
    other, _ = augment(jax.random.key(1), *same, Augmentation())
    np.testing.assert_array_equal(image, again)
    assert jnp.abs(image[0] - image[1]).max() > 0.1 and jnp.abs(image - other).max() > 0.1


def test_draws_stay_within_their_bounds(key):
    setting = Augmentation(rotation=10, scale=0.1, shift=0.05)
    drawn = draw_pose(key, (2000, 40, 20), setting)
    for values, bound in (
        (jnp.rad2deg(drawn.angle), 10),
        (jnp.log(drawn.scale), 0.1),
        (drawn.shift[:, 0], 2.0),
        (drawn.shift[:, 1], 1.0),
    ):
        assert jnp.abs(values).max() <= bound * (1 + 1e-5)
        np.testing.assert_allclose(values.std(), bound / np.sqrt(3), rtol=0.05)


def test_gamma_keeps_the_range_and_the_order(key):
    image = jnp.linspace(-2, 3, 64).reshape(1, 8, 8)
    setting = dataclasses.replace(NONE, gamma=0.7)
    got = module.vary_intensity(key, image, setting).ravel()
    np.testing.assert_allclose(got[jnp.array([0, -1])], [-2, 3], atol=1e-5)
    assert (jnp.diff(got) > 0).all() and jnp.abs(got - image.ravel()).max() > 0.05
    inner = (got[1:-1] + 2) / 5
    gammas = jnp.log(inner) / jnp.log((image.ravel()[1:-1] + 2) / 5)
    np.testing.assert_allclose(gammas, gammas[30], rtol=1e-3)


def test_an_empty_slice_stays_finite(key):
    image, _ = augment(key, jnp.zeros((1, 8, 8)), jnp.zeros((1, 8, 8), jnp.uint8), Augmentation())
    assert jnp.isfinite(image).all()


def test_negative_strengths_are_refused():
    with pytest.raises(ValueError, match="rotation of at least 0"):
        Augmentation(rotation=-1.0)

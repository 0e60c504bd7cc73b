"""Examples: right masks, right scale, reproducible."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.schema import AcquisitionConfig
from jaxnas.engine import acquire
from jaxnas.engine.losses import l1, reconstruction_loss
from jaxnas.mri.acquisition import zero_filled
from jaxnas.mri.fourier import fft2c, ifft2c
from jaxnas.mri.masks import MASKS, make_mask
from tests.checks import complex_normal

WIDTH = 40
NAMES = ["a.h5", "a.h5", "b.h5"]


def config(kind="random"):
    """Two accelerations that all kinds can draw at this width."""
    return AcquisitionConfig(mask=kind, accelerations=(2, 4), center_fractions=(0.2, 0.1))


def make_batch(key, *, coils=None):
    """Three slices of 18 × 40, with normalised coil maps where there are coils."""
    image = complex_normal(key, (3, 18, WIDTH))
    if coils is None:
        return {"kspace": fft2c(image)}
    sens = complex_normal(jax.random.key(9), (3, coils, 18, WIDTH))
    sens = sens / jnp.sqrt(jnp.sum(jnp.abs(sens) ** 2, axis=1, keepdims=True))
    return {"kspace": fft2c(image[:, None] * sens), "sens": sens}


@pytest.mark.parametrize("kind", MASKS)
def test_training_masks_follow_the_key(key, kind):
    masks = acquire.draw_masks(key, 200, WIDTH, config(kind))
    assert masks.shape == (200, 1, WIDTH) and masks.dtype == jnp.float32
    assert set(np.unique(masks)) == {0.0, 1.0}
    np.testing.assert_array_equal(masks, acquire.draw_masks(key, 200, WIDTH, config(kind)))
    other = acquire.draw_masks(jax.random.key(1), 200, WIDTH, config(kind))
    assert (masks != other).any()
    # Both accelerations occur: some masks keep about half of the columns, some about a quarter.
    kept = np.asarray(masks.mean(axis=(1, 2)))
    assert kept.min() < 0.33 < 0.4 < kept.max()


@pytest.mark.parametrize("kind", ["equispaced", "magic"])
def test_banked_masks_are_masks_of_their_kind(key, kind):
    (mask,) = acquire.draw_masks(key, 1, WIDTH, config(kind))
    bank = {
        make_mask(kind, WIDTH, accelerations=[r], center_fractions=[f], seed=n).columns.tobytes()
        for r, f in ((2, 0.2), (4, 0.1))
        for n in range(acquire.BANK)
    }
    assert np.asarray(mask[0] > 0).tobytes() in bank


@pytest.mark.parametrize("coils", [None, 3])
def test_make_example(key, coils):
    batch = make_batch(key, coils=coils)
    make = jax.jit(acquire.make_example, static_argnames="acquisition")
    measurement, target = make(key, batch, acquisition=config())
    # |A^H y| peaks at 6; the target is scaled by the same real factor.
    peaks = jnp.abs(zero_filled(measurement)).max(axis=(1, 2))
    np.testing.assert_allclose(peaks, 6.0, rtol=1e-5)
    images = ifft2c(batch["kspace"])
    if coils:
        images = jnp.sum(images * jnp.conj(batch["sens"]), axis=1)
    np.testing.assert_allclose(target / measurement.scale[:, None, None], images, atol=1e-5)
    assert len(np.unique(measurement.mask, axis=0)) > 1  # every item draws its own


def test_fixed_example_has_one_mask_per_volume(key):
    first, _ = acquire.fixed_example(make_batch(key), NAMES, config(), 1)
    np.testing.assert_array_equal(first.mask[0], first.mask[1])
    assert (first.mask[0] != first.mask[2]).any()
    expected = make_mask("random", WIDTH, accelerations=[4], center_fractions=[0.1], seed="b.h5")
    np.testing.assert_array_equal(first.mask[2, 0], expected.columns)


def test_padding_columns_are_never_sampled(key):
    columns = np.ones((3, WIDTH), bool)
    columns[:, :15] = False
    batch = make_batch(key) | {"columns": columns}
    measurement, _ = acquire.make_example(key, batch, config())
    assert not measurement.mask[:, 0, :15].any()
    assert measurement.mask[:, 0, 18:22].all()


def test_coils_without_maps_are_refused(key):
    batch = make_batch(key, coils=2)
    del batch["sens"]
    with pytest.raises(ValueError, match=r"rank 3 without sens, found shape \(3, 2, 18, 40\)"):
        acquire.make_example(key, batch, config())


def test_l1_is_the_mean_over_both_channels():
    x = jnp.array([[[1 + 2j, 0]]], jnp.complex64)
    np.testing.assert_allclose(l1(x, jnp.zeros_like(x)), 3 / 4)


class ZeroFilled:
    """A network without weights."""

    def apply(self, variables, measurement):
        """The zero-filled image times the one parameter."""
        return variables["params"] * zero_filled(measurement)


def test_reconstruction_loss_compares_with_the_scaled_target(key):
    batch = make_batch(key)
    value, metrics = reconstruction_loss(ZeroFilled(), config())(1.0, batch, key)
    measurement, target = acquire.make_example(key, batch, config())
    np.testing.assert_allclose(value, l1(zero_filled(measurement), target))
    assert metrics == {}


def test_strips_of_air_are_not_drawn(key):
    image = np.zeros((2, 24, 6), np.complex64)
    image[0, 10:12], image[1, 11:20] = 1.0, 3.0j
    draw = jax.jit(jax.vmap(lambda k: acquire.draw_strip(k, image, rows=4)))
    starts = np.asarray(draw(jax.random.split(key, 2000)))
    # Rows start..start + 3 meet rows 10, 11 of one item and 11..19 of the other.
    assert set(starts) == set(range(8, 12))
    counts = np.bincount(starts)[8:]
    np.testing.assert_allclose(counts / 2000, 1 / 4, atol=0.05)


def test_strips_of_an_empty_batch_are_drawn_evenly(key):
    draw = jax.jit(jax.vmap(lambda k: acquire.draw_strip(k, jnp.zeros((1, 8, 4)), rows=4)))
    assert set(np.asarray(draw(jax.random.split(key, 300)))) == set(range(5))

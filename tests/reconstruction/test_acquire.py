"""Examples: right masks, right scale, reproducible."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.mri.acquisition import zero_filled
from jaxnas.mri.coils import mask_like
from jaxnas.mri.complexes import fft2c, ifft2c
from jaxnas.mri.masks import MASKS, make_mask, mask_shape
from jaxnas.mri.section import AcquisitionConfig
from jaxnas.reconstruction import acquire
from jaxnas.reconstruction.loss import l1, reconstruction_loss
from tests.checks import complex_normal

HEIGHT, WIDTH = SIZE = (18, 40)
PLACES = [("a.h5", 0), ("a.h5", 1), ("b.h5", 0)]


def config(kind="random", **keys):
    """Two accelerations that all kinds can draw at this width."""
    return AcquisitionConfig(mask=kind, accelerations=(2, 4), center_fractions=(0.2, 0.1), **keys)


def make_batch(key, *, coils=None):
    """Three slices of 18 × 40, with normalised coil maps where there are coils."""
    image = complex_normal(key, (3, *SIZE))
    if coils is None:
        return {"kspace": fft2c(image)}
    sens = complex_normal(jax.random.key(9), (3, coils, *SIZE))
    sens = sens / jnp.sqrt(jnp.sum(jnp.abs(sens) ** 2, axis=1, keepdims=True))
    return {"kspace": fft2c(image[:, None] * sens), "sens": sens}


@pytest.mark.parametrize("kind", MASKS)
def test_training_masks_follow_the_key(key, kind):
    masks = acquire.draw_masks(key, 200, SIZE, config(kind))
    assert masks.shape == (200, *mask_shape(kind, SIZE)) and masks.dtype == jnp.float32
    assert set(np.unique(masks)) == {0.0, 1.0}
    np.testing.assert_array_equal(masks, acquire.draw_masks(key, 200, SIZE, config(kind)))
    other = acquire.draw_masks(jax.random.key(1), 200, SIZE, config(kind))
    assert (masks != other).any()
    # Both accelerations occur: some masks keep about half of what there is, some a quarter.
    kept = np.asarray(masks.mean(axis=(1, 2)))
    assert kept.min() < 0.33 < 0.4 < kept.max()


@pytest.mark.parametrize("kind", ["equispaced", "magic", "poisson"])
def test_banked_masks_are_masks_of_their_kind(key, kind):
    (mask,) = acquire.draw_masks(key, 1, SIZE, config(kind))
    bank = {
        make_mask(kind, SIZE, accelerations=[r], center_fractions=[f], seed=n).samples.tobytes()
        for r, f in ((2, 0.2), (4, 0.1))
        for n in range(acquire.BANK)
    }
    assert np.asarray(mask > 0).tobytes() in bank


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


@pytest.mark.parametrize("kind", MASKS)
def test_fixed_example_has_one_mask_per_volume(key, kind):
    first, _ = acquire.fixed_example(make_batch(key), PLACES, config(kind), 1)
    np.testing.assert_array_equal(first.mask[0], first.mask[1])
    expected = [
        make_mask(kind, SIZE, accelerations=[4], center_fractions=[0.1], seed=name).samples
        for name, _ in PLACES
    ]
    np.testing.assert_array_equal(first.mask, np.stack(expected))


@pytest.mark.parametrize("kind", ["random", "random_2d", "poisson"])
def test_padding_columns_are_never_sampled(key, kind):
    columns = np.ones((3, WIDTH), bool)
    columns[:, :15] = False
    batch = make_batch(key) | {"columns": columns}
    measurement, _ = acquire.make_example(key, batch, config(kind))
    assert not measurement.mask[:, :, :15].any()
    assert measurement.mask[:, measurement.mask.shape[1] // 2, 19:22].all()


@pytest.mark.parametrize("coils", [None, 3])
@pytest.mark.parametrize("kind", ["random", "poisson"])
def test_noise_is_of_the_stated_level_where_sampled(key, kind, coils):
    """σ max |x| in every sampled value, half its variance in either part, none in the target."""
    image = make_batch(key, coils=coils)
    batch = jax.tree.map(lambda x: jnp.tile(x, (20,) + (1,) * (x.ndim - 1)), image)
    make = jax.jit(acquire.make_example, static_argnames="acquisition")
    clean, truth = make(key, batch, acquisition=config(kind))
    noisy, target = make(key, batch, acquisition=config(kind, noise=0.1))
    np.testing.assert_array_equal(noisy.mask, clean.mask)
    # In the file's own units, divided by the largest magnitude of the image: the level.
    scale = noisy.scale[:, None, None]
    np.testing.assert_allclose(target / scale, truth / clean.scale[:, None, None], rtol=1e-4)
    peak = jnp.abs(target / scale).max((1, 2)).reshape((-1,) + (1,) * (noisy.kspace.ndim - 1))
    scales = [x.scale.reshape(peak.shape) for x in (noisy, clean)]
    noise = np.asarray((noisy.kspace / scales[0] - clean.kspace / scales[1]) / peak)
    measured = np.broadcast_to(mask_like(noisy.mask, noisy.kspace) > 0, noise.shape)
    assert not np.asarray(noisy.kspace)[~measured].any()
    values = noise[measured]
    np.testing.assert_allclose(values.real.std(), 0.1 / np.sqrt(2), rtol=0.05)
    np.testing.assert_allclose(values.imag.std(), 0.1 / np.sqrt(2), rtol=0.05)
    assert abs(values.mean()) < 0.005
    assert abs(np.mean(values.real * values.imag)) < 0.0005
    # Every item, and every coil, has its own.
    apart = noise[:3][:, :2] if coils else noise[:3]
    assert len(np.unique(apart.reshape(-1, HEIGHT * WIDTH), axis=0)) == (6 if coils else 3)


def test_noise_is_new_in_every_step_and_follows_the_key(key):
    batch, noisy = make_batch(key), config(noise=0.05)
    first, again, other = (
        acquire.draw_noise(k, batch, noisy) for k in (key, key, jax.random.key(1))
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


def test_without_noise_nothing_is_drawn(key):
    batch = make_batch(key)
    assert acquire.draw_noise(key, batch, config()) is None
    levels = batch | {"noise": jnp.array([0.0, 0.1, 0.2], jnp.float32)}
    drawn = np.abs(acquire.draw_noise(key, levels, config(noise=0.7)))
    np.testing.assert_allclose(
        drawn.std((1, 2)) / np.array([1, 0.1, 0.2]), [0, 0.46, 0.46], atol=0.05
    )


@pytest.mark.parametrize("coils", [None, 2])
def test_evaluation_noise_follows_volume_and_slice(key, coils):
    """The same at every acceleration, in any order, and whatever else is evaluated."""
    batch, noisy = make_batch(key, coils=coils), config(noise=0.1)
    shape = batch["kspace"].shape[1:]
    noise = acquire.named_noise(PLACES, shape, 0.1)
    np.testing.assert_allclose(np.abs(noise).std(), 0.1 * np.sqrt(1 - np.pi / 4), rtol=0.05)
    np.testing.assert_array_equal(noise[1:2], acquire.named_noise(PLACES[1:2], shape, 0.1))
    assert len(np.unique(noise.reshape(3, -1), axis=0)) == 3
    for index in (0, 1):
        clean, truth = acquire.fixed_example(batch, PLACES, config(), index)
        measured, target = acquire.fixed_example(batch, PLACES, noisy, index)
        own = (-1,) + (1,) * (batch["kspace"].ndim - 1)
        peak = jnp.abs(target).max((1, 2)) / measured.scale
        added = (
            measured.kspace / measured.scale.reshape(own) - clean.kspace / clean.scale.reshape(own)
        ) / peak.reshape(own)
        sampled = np.broadcast_to(mask_like(clean.mask, clean.kspace) > 0, noise.shape)
        np.testing.assert_allclose(np.asarray(added)[sampled], noise[sampled], atol=1e-5)
        np.testing.assert_allclose(
            target / measured.scale[:, None, None], truth / clean.scale[:, None, None], rtol=1e-4
        )


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

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.mri import coils
from jaxnas.mri.acquisition import (
    Measurement,
    in_scan_units,
    measure,
    readout_strip,
    target,
    zero_filled,
)
from jaxnas.mri.complexes import fft2c, ifft2c
from tests.checks import complex_normal
from tests.mri.scans import KINDS, random_scan
from tests.mri.test_coils import signed_zeros


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels, peak", [(None, 6.0), (3, 1.0)])
def test_zero_filled_image_peaks_where_asked(channels, peak, kind):
    _, kspace, mask, sens = random_scan(coils=channels, kind=kind)
    scan = jax.jit(lambda *scan: measure(*scan, peak=peak))(1e-4 * kspace, mask, sens)
    image = zero_filled(scan)
    assert image.dtype == jnp.complex64 and scan.scale.dtype == jnp.float32
    np.testing.assert_allclose(jnp.abs(image).max((-2, -1)), peak, rtol=1e-5)
    # The factor is real: dividing by it gives back the scan's own zero-filled image.
    own = coils.adjoint(1e-4 * kspace, mask, sens)
    np.testing.assert_allclose(image / scan.scale[:, None, None], own, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [None, 3])
def test_unsampled_kspace_is_exactly_plus_zero(channels, kind):
    _, kspace, mask, sens = random_scan(coils=channels, kind=kind)
    scan = jax.jit(measure)(-jnp.abs(kspace) - 0j, mask, sens)
    unsampled = np.broadcast_to(coils.mask_like(mask, kspace) == 0, kspace.shape)
    assert not np.asarray(scan.kspace)[unsampled].any()
    assert signed_zeros(np.asarray(scan.kspace)[unsampled]) == 0


def test_an_empty_item_keeps_scale_one_and_does_not_disturb_the_others():
    _, kspace, mask, _ = random_scan()
    scan = measure(kspace.at[0].set(0), mask, None)
    assert scan.scale[0] == 1
    assert np.all(np.asarray(scan.kspace[0]) == 0)
    np.testing.assert_allclose(scan.scale[1], measure(kspace, mask, None).scale[1])


def test_measuring_a_measurement_again_changes_nothing():
    _, kspace, mask, sens = random_scan(coils=2)
    once = measure(kspace, mask, sens)
    twice = measure(once.kspace, mask, sens)
    np.testing.assert_allclose(twice.scale, 1, rtol=1e-5)
    np.testing.assert_allclose(twice.kspace, once.kspace, rtol=1e-5, atol=1e-6)


def test_target_is_the_combined_fully_sampled_image():
    image, kspace, mask, sens = random_scan(coils=4)
    full = coils.forward(image, jnp.ones_like(mask), sens)
    np.testing.assert_allclose(target(full, sens), image, atol=1e-5)
    np.testing.assert_allclose(target(kspace[:, 0], None), ifft2c(kspace[:, 0]))


def test_measurement_is_a_pytree_that_vmaps():
    _, kspace, mask, sens = random_scan(coils=2)
    scan = jax.vmap(measure)(kspace, mask, sens)
    assert isinstance(scan, Measurement) and len(jax.tree.leaves(scan)) == 4
    np.testing.assert_allclose(scan.kspace, measure(kspace, mask, sens).kspace, rtol=1e-5)


@pytest.mark.parametrize("coils", [1, 3])
def test_readout_strip_is_the_scan_of_a_smaller_field_of_view(key, coils):
    """Cutting rows of the image first, and undersampling the strip, gives the same k-space."""
    shape = (2, 12, 10) if coils == 1 else (2, coils, 12, 10)
    k_image, k_sens, k_mask = jax.random.split(key, 3)
    sens = None if coils == 1 else complex_normal(k_sens, shape)
    images = complex_normal(k_image, shape)
    mask = jax.random.bernoulli(k_mask, 0.5, (2, 1, 10)).astype(jnp.float32)
    whole = measure(fft2c(images), mask, sens)
    image = target(fft2c(images), sens) * whole.scale[:, None, None]
    strip, strip_image = jax.jit(readout_strip, static_argnames="rows")(whole, image, 3, rows=5)
    factor = whole.scale.reshape((2,) + (1,) * (len(shape) - 1))
    wide = mask if coils == 1 else mask[:, None]
    expected = fft2c(factor * images[..., 3:8, :]) * wide
    np.testing.assert_allclose(strip.kspace, expected, atol=1e-5)
    np.testing.assert_allclose(strip_image, image[:, 3:8], atol=1e-5)
    np.testing.assert_array_equal(strip.scale, whole.scale)
    assert strip.sens is None or strip.sens.shape == (2, coils, 5, 10)


@pytest.mark.parametrize("kind", ["random_2d", "poisson"])
def test_a_strip_of_a_scan_by_points_is_refused(kind):
    image, kspace, mask, _ = random_scan(kind=kind)
    with pytest.raises(ValueError, match=r"mask of whole columns .* found shape \(2, 7, 15\)"):
        readout_strip(measure(kspace, mask, None), image, 0, rows=3)


@pytest.mark.parametrize("channels", [None, 3])
@pytest.mark.parametrize("units", [1.0, 1e-6])
def test_where_nothing_was_measured_nothing_is_shown(channels, units):
    """Whatever a network makes of it: its biases have no units to be shown in."""
    _, kspace, mask, sens = random_scan(coils=channels)
    scan = measure(units * kspace.at[0].set(0), mask, sens)
    image = zero_filled(scan) + 3
    for shown in (in_scan_units(image, scan), in_scan_units(jnp.abs(image), scan)):
        assert not np.asarray(shown[0]).any()
        assert np.asarray(jnp.abs(shown[1])).max() < 10 * units
    own = coils.adjoint(units * kspace[1:], mask[1:], None if sens is None else sens[1:])
    np.testing.assert_allclose(in_scan_units(zero_filled(scan), scan)[1:], own, atol=1e-5 * units)

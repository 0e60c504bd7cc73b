import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.mri import coils
from jaxnas.mri.acquisition import Measurement, measure, target, zero_filled
from jaxnas.mri.fourier import ifft2c
from tests.mri.scans import random_scan
from tests.mri.test_coils import signed_zeros


@pytest.mark.parametrize("channels, peak", [(None, 6.0), (3, 1.0)])
def test_zero_filled_image_peaks_where_asked(channels, peak):
    _, kspace, mask, sens = random_scan(coils=channels)
    scan = jax.jit(lambda *scan: measure(*scan, peak=peak))(1e-4 * kspace, mask, sens)
    image = zero_filled(scan)
    assert image.dtype == jnp.complex64 and scan.scale.dtype == jnp.float32
    np.testing.assert_allclose(jnp.abs(image).max((-2, -1)), peak, rtol=1e-5)
    # The factor is real: dividing by it gives back the scan's own zero-filled image.
    own = coils.adjoint(1e-4 * kspace, mask, sens)
    np.testing.assert_allclose(image / scan.scale[:, None, None], own, atol=1e-9)


@pytest.mark.parametrize("channels", [None, 3])
def test_unsampled_kspace_is_exactly_plus_zero(channels):
    _, kspace, mask, sens = random_scan(coils=channels)
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

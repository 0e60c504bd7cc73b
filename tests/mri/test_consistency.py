import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.mri import coils
from jaxnas.mri.acquisition import measure
from jaxnas.mri.complexes import fft2c
from jaxnas.mri.consistency import consistency, data_consistency
from tests.checks import check_adjoint, check_linear
from tests.mri import reference
from tests.mri.scans import KINDS, random_complex, random_scan

LAMBDAS = [None, 0.0, 0.05, 1.0, 30.0]
sampled = pytest.mark.parametrize("kind", KINDS)


@sampled
@pytest.mark.parametrize("lam", LAMBDAS)
def test_closed_form_solves_eq_8(lam, kind):
    image, kspace, mask, _ = random_scan(kind=kind)
    got = jax.jit(data_consistency)(image, kspace, mask, lam=lam)
    for i in range(len(image)):
        sampled = coils.sample(kspace, mask)[i]
        want = reference.solve(image[i], sampled, mask[i], None, lam)
        np.testing.assert_allclose(got[i], want, atol=1e-5)


@sampled
def test_noiseless_limit_replaces_measured_samples_and_keeps_the_others(kind):
    image, kspace, mask, _ = random_scan(kind=kind)
    got = fft2c(data_consistency(image, kspace, mask, lam=None))
    want = jnp.where(mask == 1, kspace, fft2c(image))
    np.testing.assert_allclose(got, want, atol=1e-5)
    at_infinity = data_consistency(image, kspace, mask, lam=float("inf"))
    np.testing.assert_allclose(fft2c(at_infinity), want, atol=1e-5)


@sampled
@pytest.mark.parametrize("lam", [None, 0.3])
def test_the_layer_without_data_is_linear_and_self_adjoint(lam, kind):
    image, kspace, mask, _ = random_scan(kind=kind)

    @jax.jit
    def layer(x):
        return data_consistency(x, jnp.zeros_like(kspace), mask, lam=lam)

    other = random_complex(image.shape, seed=7)
    check_linear(layer, image, other)
    check_adjoint(layer, layer, image, other)
    vmapped = jax.vmap(lambda *a: data_consistency(*a, lam=lam))(image, kspace, mask)
    np.testing.assert_allclose(vmapped, data_consistency(image, kspace, mask, lam=lam), atol=1e-6)


def test_gradient_of_lambda_is_that_of_finite_differences():
    image, kspace, mask, _ = random_scan()

    def loss(lam):
        return jnp.sum(jnp.abs(data_consistency(image, kspace, mask, lam=lam)) ** 2)

    lam, h = 0.5, 1e-2
    want = (loss(lam + h) - loss(lam - h)) / (2 * h)
    np.testing.assert_allclose(jax.jit(jax.grad(loss))(lam), want, rtol=1e-2)


@sampled
@pytest.mark.parametrize("lam", LAMBDAS)
def test_one_entry_serves_single_and_multi_coil(lam, kind):
    image, kspace, mask, _ = random_scan(kind=kind)
    single = measure(kspace, mask, None)
    ones = jnp.ones((2, 1, *image.shape[1:]), jnp.complex64)
    multi = measure(kspace[:, None], mask, ones)
    got, want = consistency(image, multi, lam=lam), consistency(image, single, lam=lam)
    np.testing.assert_allclose(got, want, atol=1e-4)


@sampled
@pytest.mark.parametrize("channels", [None, 3])
def test_an_image_that_explains_the_data_is_left_alone(channels, kind):
    image, _, mask, sens = random_scan(coils=channels, kind=kind)
    scan = measure(coils.forward(image, mask, sens), mask, sens)
    truth = image * scan.scale[:, None, None]
    for lam in (None, 2.0):
        np.testing.assert_allclose(consistency(truth, scan, lam=lam), truth, atol=1e-5)


@pytest.mark.parametrize("channels", [None, 2])
def test_sampling_by_columns_and_by_pixels_agree(channels):
    """A mask of whole columns takes a shorter way than the same mask pixel by pixel."""
    image, kspace, mask, sens = random_scan(coils=channels)
    pixels = jnp.broadcast_to(mask, image.shape)
    for name, arguments in (("gram", (image,)), ("residual", (image, kspace))):
        function = getattr(coils, name)
        got, want = function(*arguments, mask, sens), function(*arguments, pixels, sens)
        np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.optimised
def test_no_transform_is_computed_twice():
    """Each step of a network transforms one axis and back; that of the data is shared."""

    def steps(image, kspace, mask):
        for _ in range(3):
            image = data_consistency(image * jnp.abs(image), kspace, mask, lam=None)
        return image

    image, kspace, mask, _ = random_scan()
    program = jax.jit(steps).lower(image, kspace, mask).compile().as_text()
    lengths = [line for line in program.splitlines() if "fft_type=" in line]
    assert len(lengths) == 1 + 2 * 3
    assert all("," not in line.split("fft_length={")[1].split("}")[0] for line in lengths)

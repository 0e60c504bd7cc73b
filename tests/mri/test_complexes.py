import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxnas.mri.complexes import (
    FFT_AXES,
    fft1c,
    fft2c,
    from_channels,
    ifft1c,
    ifft2c,
    magnitude,
    rss,
    to_channels,
)
from tests.mri.scans import random_complex

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("shape", [(3, 5), (2, 4, 7)])
def test_channels_are_real_and_imaginary_parts_and_round_trip(shape):
    x = random_complex(shape)
    channels = to_channels(x)
    assert channels.shape == (*shape, 2) and channels.dtype == jnp.float32
    np.testing.assert_array_equal(channels, np.stack([x.real, x.imag], -1))
    back = jax.jit(jax.vmap(from_channels))(channels)
    assert back.dtype == jnp.complex64
    np.testing.assert_array_equal(back, x)


def test_from_channels_widens_bfloat16():
    x = jnp.ones((4, 4, 2), jnp.bfloat16)
    np.testing.assert_array_equal(from_channels(x), np.full((4, 4), 1 + 1j, np.complex64))


def test_from_channels_names_the_shape_it_found():
    with pytest.raises(ValueError, match=r"two channels.*\(4, 4, 3\)"):
        from_channels(jnp.ones((4, 4, 3)))


def test_magnitude_and_rss_equal_numpy():
    x = random_complex((2, 3, 5, 7))
    np.testing.assert_allclose(magnitude(x), np.abs(x), rtol=1e-6)
    np.testing.assert_allclose(rss(x), np.sqrt((np.abs(x) ** 2).sum(1)), rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(rss)(x), rss(x), rtol=1e-6)
    np.testing.assert_allclose(rss(x.real, axis=0), np.linalg.norm(x.real, axis=0), rtol=1e-6)


@pytest.mark.parametrize("function", [magnitude, rss])
def test_gradient_is_zero_at_zero_and_that_of_finite_differences_elsewhere(function):
    x = random_complex((3, 4, 5))
    check_grads(jax.jit(function), (x,), order=1, atol=1e-2, rtol=1e-2)

    one_zero_pixel = x.at[:, 1, 2].set(0)
    gradient = jax.jit(jax.grad(lambda x: function(x).sum()))(one_zero_pixel)
    np.testing.assert_array_equal(gradient[:, 1, 2], 0)
    assert jnp.isfinite(to_channels(gradient)).all()


def test_magnitude_survives_tiny_values():
    np.testing.assert_allclose(magnitude(jnp.array([3e-30 + 4e-30j])), 5e-30, rtol=1e-6)


SHAPES = [(4, 4), (5, 6), (3, 7, 5), (2, 3, 6, 9)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equal_to_numpy(shape):
    x = random_complex(shape)
    want = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(x, FFT_AXES), norm="ortho"), FFT_AXES)
    np.testing.assert_allclose(jax.jit(fft2c)(x), want, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_inverse_and_unitary(shape):
    x = random_complex(shape)
    np.testing.assert_allclose(ifft2c(fft2c(x)), x, atol=1e-5)
    np.testing.assert_allclose(fft2c(ifft2c(x)), x, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(fft2c(x)), np.linalg.norm(x), rtol=1e-5)


@pytest.mark.parametrize("height, width", [(6, 8), (5, 7), (5, 8)])
def test_origin_and_zero_frequency_are_in_the_centre(height, width):
    delta = np.zeros((height, width), np.complex64)
    delta[height // 2, width // 2] = 1
    flat = np.full((height, width), (height * width) ** -0.5)
    np.testing.assert_allclose(fft2c(delta), flat, atol=1e-6)
    np.testing.assert_allclose(ifft2c(delta), flat, atol=1e-6)


def test_equal_to_fastmri():
    """Values of fastmri.fft2c_new on a[i] = i % 7 + (i % 5) j, i < 30, as 5 x 6."""
    i = np.arange(30)
    kspace = fft2c((i % 7 + 1j * (i % 5)).astype(np.complex64).reshape(5, 6))
    np.testing.assert_allclose(kspace[0, 0], 2.0678787 - 1.4770562j, rtol=1e-5)
    np.testing.assert_allclose(kspace[2, 3], 15.5188058 + 10.9544512j, rtol=1e-5)
    np.testing.assert_allclose(kspace[4, 1], -0.3070973 + 3.6053747j, rtol=1e-5)


@pytest.mark.parametrize("axis", [-2, -1])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_one_axis_at_a_time(shape, axis):
    """Two one-dimensional transforms make the two-dimensional one; each is unitary."""
    x = random_complex(shape)
    both = fft1c(fft1c(x, axis=axis), axis=-3 - axis)
    np.testing.assert_allclose(both, fft2c(x), atol=1e-5)
    np.testing.assert_allclose(ifft1c(fft1c(x, axis=axis), axis=axis), x, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(fft1c(x, axis=axis)), np.linalg.norm(x), rtol=1e-5)

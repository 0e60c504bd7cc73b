import jax
import numpy as np
import pytest

from jaxnas.mri.complexes import FFT_AXES, fft1c, fft2c, ifft1c, ifft2c
from tests.mri.scans import random_complex

pytestmark = pytest.mark.quick

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

"""Centred orthonormal Fourier transforms of complex images, over the last two axes or one.

All are unitary, so each inverse is the adjoint too, and the zero frequency
(as the image's origin) sits at index n // 2 of an axis of length n, odd or even.
"""

import jax
import jax.numpy as jnp

FFT_AXES = (-2, -1)


def fft2c(image: jax.Array) -> jax.Array:
    """Image (..., H, W) to k-space (..., H, W), complex64.

    >>> import jax.numpy as jnp
    >>> import jaxnas
    >>> kspace = jaxnas.fft2c(jnp.ones((8, 8)))
    >>> float(abs(kspace[4, 4]))
    8.0
    """
    return jnp.fft.fftshift(
        jnp.fft.fft2(jnp.fft.ifftshift(image, FFT_AXES), norm="ortho"), FFT_AXES
    )


def ifft2c(kspace: jax.Array) -> jax.Array:
    """K-space (..., H, W) to image (..., H, W), complex64.

    >>> import jax.numpy as jnp
    >>> import jaxnas
    >>> image = jnp.arange(64.0).reshape(8, 8)
    >>> bool(jnp.allclose(jaxnas.ifft2c(jaxnas.fft2c(image)), image, atol=1e-4))
    True
    """
    return jnp.fft.fftshift(
        jnp.fft.ifft2(jnp.fft.ifftshift(kspace, FFT_AXES), norm="ortho"), FFT_AXES
    )


def fft1c(image: jax.Array, *, axis: int) -> jax.Array:
    """The transform along one axis alone, complex64; over both axes it is fft2c."""
    return jnp.fft.fftshift(
        jnp.fft.fft(jnp.fft.ifftshift(image, axis), axis=axis, norm="ortho"), axis
    )


def ifft1c(kspace: jax.Array, *, axis: int) -> jax.Array:
    """The inverse of fft1c along one axis, complex64."""
    return jnp.fft.fftshift(
        jnp.fft.ifft(jnp.fft.ifftshift(kspace, axis), axis=axis, norm="ortho"), axis
    )

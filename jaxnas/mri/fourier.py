"""Centred orthonormal Fourier transforms over the last two axes of complex images.

Both are unitary, so each is the adjoint and the inverse of the other, and the zero frequency
(as the image's origin) sits at index n // 2 of an axis of length n, odd or even.
"""

import jax
import jax.numpy as jnp

AXES = (-2, -1)


def fft2c(image: jax.Array) -> jax.Array:
    """Image (..., H, W) to k-space (..., H, W), complex64."""
    return jnp.fft.fftshift(jnp.fft.fft2(jnp.fft.ifftshift(image, AXES), norm="ortho"), AXES)


def ifft2c(kspace: jax.Array) -> jax.Array:
    """K-space (..., H, W) to image (..., H, W), complex64."""
    return jnp.fft.fftshift(jnp.fft.ifft2(jnp.fft.ifftshift(kspace, AXES), norm="ortho"), AXES)

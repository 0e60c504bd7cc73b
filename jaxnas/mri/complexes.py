"""Complex images: as two real channels, their magnitudes, and centred Fourier transforms.

Physics works on complex64 images (..., H, W), networks on float32 (..., H, W, 2) with the real
part in channel 0; the two functions `to_channels` and `from_channels` are the only bridge.

The transforms, over the last two axes or one, are unitary, so each inverse is the adjoint too, and
the zero frequency (as the image's origin) sits at index n // 2 of an axis of length n, odd or even.
"""

import jax
import jax.numpy as jnp

FFT_AXES = (-2, -1)


def to_channels(x: jax.Array) -> jax.Array:
    """Complex (..., H, W) to float (..., H, W, 2): real part, imaginary part."""
    return jnp.stack([x.real, x.imag], axis=-1)


def from_channels(x: jax.Array) -> jax.Array:
    """Real (..., H, W, 2) of any float dtype to complex64 (..., H, W); inverse of `to_channels`."""
    if x.shape[-1] != 2:
        raise ValueError(f"expected two channels (real, imaginary) last, found shape {x.shape}")
    # There is no complex bfloat16: narrow network outputs are widened here.
    x = x.astype(jnp.float32)
    return jax.lax.complex(x[..., 0], x[..., 1])


def magnitude(x: jax.Array) -> jax.Array:
    """|x| of complex or real x, same shape, real; its gradient at 0 is 0."""
    # XLA's complex abs neither overflows nor underflows, and JAX defines its derivative at 0 as 0.
    return jnp.abs(x)


def rss(x: jax.Array, *, axis: int = -3) -> jax.Array:
    """Root of the sum of squares sqrt(sum |x|^2) over the coil `axis`; its gradient at 0 is 0."""
    power = jnp.sum(jnp.square(x.real) + jnp.square(x.imag), axis=axis)
    # The derivative of sqrt is infinite at 0, and infinity times 0 is NaN even where masked:
    # the root must not see the zeros at all.
    positive = power > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, power, 1.0)), 0.0)


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

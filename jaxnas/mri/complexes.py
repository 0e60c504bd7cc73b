"""Complex images as two real channels, and their magnitudes.

Physics works on complex64 images (..., H, W), networks on float32 (..., H, W, 2) with the real
part in channel 0; the two functions `to_channels` and `from_channels` are the only bridge.
"""

import jax
import jax.numpy as jnp


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

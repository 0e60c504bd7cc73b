"""The acquisition operator A = M F S and its adjoint, for one coil or many.

S multiplies the image by the coils' sensitivities, F is the Fourier transform, M keeps sampled
k-space. Sensitivities normalised to sum_c |S_c|^2 = 1 (or 0 outside the body) make S^H S a
projection and ||A|| <= 1. With `sens=None` there is one coil, S = I, and no coil axis.
"""

import jax
import jax.numpy as jnp

from jaxnas.mri.complexes import fft1c, fft2c, ifft1c, ifft2c


def expand(image: jax.Array, sens: jax.Array | None) -> jax.Array:
    """S x: image (..., H, W) and sens (..., C, H, W) to coil images (..., C, H, W)."""
    return image if sens is None else image[..., None, :, :] * sens


def combine(images: jax.Array, sens: jax.Array | None) -> jax.Array:
    """S^H y = sum_c conj(S_c) y_c: coil images (..., C, H, W) to one image (..., H, W)."""
    return images if sens is None else jnp.sum(images * jnp.conj(sens), axis=-3)


def sample(kspace: jax.Array, mask: jax.Array) -> jax.Array:
    """M y: k-space where `mask` is not 0, exactly +0 elsewhere; M is its own adjoint.

    `mask` (..., 1, W) or (..., H, W) has the k-space's rank, or one less and serves all coils.
    Multiplying instead would turn negative values into -0 and leak their sign past the mask.
    """
    return jnp.where(mask_like(mask, kspace) != 0, kspace, 0)


def mask_like(mask: jax.Array, kspace: jax.Array) -> jax.Array:
    """`mask` with a coil axis inserted where `kspace` has one more axis."""
    if mask.ndim == kspace.ndim:
        return mask
    if mask.ndim == kspace.ndim - 1:
        return jnp.expand_dims(mask, -3)
    raise ValueError(
        f"expected a mask of rank {kspace.ndim} or {kspace.ndim - 1} for k-space of shape "
        f"{kspace.shape}, found shape {mask.shape}"
    )


def forward(image: jax.Array, mask: jax.Array, sens: jax.Array | None) -> jax.Array:
    """A x = M F S x: image (..., H, W) to sampled k-space (..., [C,] H, W)."""
    return sample(fft2c(expand(image, sens)), mask)


def adjoint(kspace: jax.Array, mask: jax.Array, sens: jax.Array | None) -> jax.Array:
    """A^H y = S^H F^H M y: k-space (..., [C,] H, W) to the zero-filled image (..., H, W)."""
    return combine(ifft2c(sample(kspace, mask)), sens)


def gram(image: jax.Array, mask: jax.Array, sens: jax.Array | None) -> jax.Array:
    """A^H A x, (..., H, W) to (..., H, W)."""
    if not _samples_columns(mask):
        return adjoint(forward(image, mask, sens), mask, sens)
    kspace = sample(fft1c(expand(image, sens), axis=-1), mask)
    return combine(ifft1c(kspace, axis=-1), sens)


def residual(
    image: jax.Array, kspace: jax.Array, mask: jax.Array, sens: jax.Array | None
) -> jax.Array:
    """A^H (y - A x): `image` x (..., H, W), `kspace` y (..., [C,] H, W), to (..., H, W)."""
    if not _samples_columns(mask):
        return adjoint(kspace - forward(image, mask, sens), mask, sens)
    # Does not depend on the image: a network that asks for it in every cascade has it once.
    hybrid = ifft1c(kspace, axis=-2)
    misfit = sample(hybrid - fft1c(expand(image, sens), axis=-1), mask)
    return combine(ifft1c(misfit, axis=-1), sens)


def _samples_columns(mask: jax.Array) -> bool:
    """True if columns are sampled whole. Then M commutes with the transform along the columns,
    which cancels in F^H M F: one axis is left to transform."""
    return mask.shape[-2] == 1

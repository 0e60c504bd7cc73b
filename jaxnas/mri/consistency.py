"""Data consistency: pulling a network's image towards what was measured (Eq. 5 and 8)."""

import jax

from jaxnas.mri import coils
from jaxnas.mri.acquisition import Measurement
from jaxnas.mri.cg import finite, sense_consistency


def consistency(
    image: jax.Array,
    measurement: Measurement,
    *,
    lam: jax.Array | float | None,
    iterations: int = 8,
) -> jax.Array:
    """argmin_x ||x - z||^2 + lam ||s - A x||^2 for z = `image`, complex64 (B, H, W).

    In closed form for a single coil, by `iterations` of conjugate gradients for several.
    `lam=None` is the noiseless limit of either: the least change of z that explains the data.
    """
    kspace, mask, sens = measurement.kspace, measurement.mask, measurement.sens
    if sens is None:
        return data_consistency(image, kspace, mask, lam=lam)
    return sense_consistency(image, kspace, mask, sens, lam=lam, iterations=iterations)


def data_consistency(
    image: jax.Array, kspace: jax.Array, mask: jax.Array, *, lam: jax.Array | float | None
) -> jax.Array:
    """Eq. 8 for one coil: x = F^H k with k = (F z + lam m k0) / (1 + lam m).

    `image` z and `kspace` k0 complex64 (..., H, W), `mask` m (..., 1, W) of zeros and ones. `lam`
    is a non-negative scalar, possibly traced; None (or inf) is the noiseless limit, in which
    measured samples replace the network's.
    """
    # (k + lam k0) / (1 + lam) = k + g (k0 - k) on sampled k-space, with g = lam / (1 + lam) -> 1
    lam = finite(lam)
    gain = 1.0 if lam is None else lam / (1 + lam)
    return image + gain * coils.residual(image, kspace, mask, None)

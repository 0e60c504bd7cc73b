"""Data consistency: pulling a network's image towards what was measured (Eq. 5 and 8).

With many coils, by conjugate gradients for batches of complex images.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxnas.mri import coils
from jaxnas.mri.acquisition import Measurement


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


def cg(
    normal: Callable[[jax.Array], jax.Array],
    rhs: jax.Array,
    *,
    iterations: int,
    tol: float = 1e-6,
) -> jax.Array:
    """Solves normal(x) = rhs for x (..., H, W), each item on its own, from x = 0.

    `normal` is linear, self-adjoint and positive semi-definite; where it is singular the solution
    of least norm is found if rhs is in its range. Differs from the textbook in three ways:

    - the number of iterations is fixed, so one program serves every input, runs under vmap and
      has a reverse-mode gradient (that of the unrolled iterations);
    - an item freezes once ||rhs - normal(x)|| <= tol ||rhs||: going on would divide rounding
      errors by each other. A zero rhs is frozen from the start;
    - inner products are elementwise float32 sums, which no accelerator rounds to TF32.
    """

    def step(carry, _):
        x, r, p, rr = carry
        active = rr > limit
        q = normal(p)
        # alpha = <r, r> / <p, A p>;  x += alpha p;  r -= alpha A p
        alpha = _ratio(rr, _dot(p, q), active)
        x = x + alpha * p
        r = r - alpha * q
        # beta = <r', r'> / <r, r>;  p = r' + beta p; a frozen item keeps p and rr as they are
        rr_next = jnp.where(active, _dot(r, r), rr)
        p = jnp.where(active, r + _ratio(rr_next, rr, active) * p, p)
        return (x, r, p, rr_next), None

    rr = _dot(rhs, rhs)
    limit = jax.lax.stop_gradient(tol**2 * rr)
    start = (jnp.zeros_like(rhs), rhs, rhs, rr)
    (x, *_), _ = jax.lax.scan(step, start, length=iterations)
    return x


def sense_consistency(
    image: jax.Array,
    kspace: jax.Array,
    mask: jax.Array,
    sens: jax.Array | None,
    *,
    lam: jax.Array | float | None,
    iterations: int,
) -> jax.Array:
    """Solves (I + lam A^H A) x = z + lam A^H s (Eq. 5 and 8 with U = A = M F S) by CG.

    `image` z complex64 (..., H, W); `kspace` s (..., [C,] H, W); `mask` (..., 1, W); `sens`
    (..., C, H, W) or None. The unknown is the correction d = x - z, which is small:
    (I + lam A^H A) d = lam A^H (s - A z). `lam` may be a traced scalar. `lam=None` (or inf) is the
    noiseless limit A^H A d = A^H (s - A z): the least change of z that explains the data.
    """

    def gram(x):
        return coils.gram(x, mask, sens)

    misfit = coils.residual(image, kspace, mask, sens)
    lam = finite(lam)
    if lam is None:
        return image + cg(gram, misfit, iterations=iterations)
    return image + cg(lambda x: x + lam * gram(x), lam * misfit, iterations=iterations)


def finite(lam: jax.Array | float | None) -> jax.Array | float | None:
    """`lam`, or None for the Python float inf as for None; a traced lam is always finite."""
    return None if isinstance(lam, float) and lam == float("inf") else lam


def _dot(a: jax.Array, b: jax.Array) -> jax.Array:
    """Re <a, b> per item: float32 (..., 1, 1)."""
    return jnp.sum(a.real * b.real + a.imag * b.imag, axis=(-2, -1), keepdims=True)


def _ratio(numerator, denominator, active):
    """numerator / denominator where active, else 0, with a finite gradient everywhere."""
    active = active & (denominator > 0)
    return jnp.where(active, numerator / jnp.where(active, denominator, 1.0), 0.0)

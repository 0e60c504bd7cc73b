"""Scores of a magnitude image against its target: MSE, NMSE, PSNR and SSIM.

Images are real magnitudes (..., H, W). `mse`, `nmse`, `psnr` and `ssim` give one value per slice
and are told the data range, because conventions differ exactly there. The `volume_*` functions
are fastMRI's: one number for a volume (S, H, W), its data range the maximum of the target volume.
All is float32 and free of matrix products, so no accelerator can lower the precision. An empty
target has no NMSE and no data range: the result is then not finite.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

SLICE = (-2, -1)
WINDOW = 7
K1, K2 = 0.01, 0.03


def mse(target: jax.Array, image: jax.Array) -> jax.Array:
    """Mean squared error mean(|x - t|²) of (..., H, W), per slice: (...)."""
    target, image = _pair(target, image)
    return jnp.mean(jnp.square(image - target), axis=SLICE)


def nmse(target: jax.Array, image: jax.Array) -> jax.Array:
    """Normalised error ‖x - t‖² / ‖t‖² of (..., H, W), per slice: (...).

    >>> import jax.numpy as jnp
    >>> import jaxnas
    >>> float(jaxnas.nmse(jnp.full((8, 8), 2.0), jnp.full((8, 8), 3.0)))
    0.25
    """
    target, image = _pair(target, image)
    error = jnp.sum(jnp.square(image - target), axis=SLICE)
    return error / jnp.sum(jnp.square(target), axis=SLICE)


def psnr(target: jax.Array, image: jax.Array, *, data_range: ArrayLike) -> jax.Array:
    """Peak signal-to-noise ratio 10 log₁₀(L² / MSE) in dB of (..., H, W), per slice: (...).

    `data_range` L is a scalar or one value per slice. Equal images give infinity.

    >>> import jax.numpy as jnp
    >>> import jaxnas
    >>> target = jnp.ones((8, 8))
    >>> round(float(jaxnas.psnr(target, 1.1 * target, data_range=1.0)), 3)
    20.0
    """
    target, image = _pair(target, image)
    error = _normalise(image - target, data_range)
    return -10 * jnp.log10(jnp.mean(jnp.square(error), axis=SLICE))


def ssim(target: jax.Array, image: jax.Array, *, data_range: ArrayLike) -> jax.Array:
    """Structural similarity of (..., H, W), per slice: (...); scikit-image's default.

    Uniform 7 × 7 windows that lie wholly inside, sample covariance; per window, with c₁ = (K₁ L)²
    and c₂ = (K₂ L)²,
        S = (2 μₓ μₜ + c₁)(2 σₓₜ + c₂) / ((μₓ² + μₜ² + c₁)(σₓ² + σₜ² + c₂)),
    averaged. `data_range` L is a scalar or one value per slice. A side below 7 is a ValueError.

    >>> import jax.numpy as jnp
    >>> import jaxnas
    >>> target = jnp.arange(64.0).reshape(8, 8)
    >>> round(float(jaxnas.ssim(target, target, data_range=63.0)), 6)
    1.0
    """
    target, image = _pair(target, image)
    if min(target.shape[-2:]) < WINDOW:
        raise ValueError(f"SSIM needs sides of at least {WINDOW}, got shape {target.shape}")
    # In units of the data range nothing under- or overflows, whatever the scanner's units.
    t, x = _normalise(target, data_range), _normalise(image, data_range)
    mean_t, mean_x = _window_mean(t), _window_mean(x)
    sample = WINDOW**2 / (WINDOW**2 - 1)
    var_t = sample * (_window_mean(t * t) - mean_t * mean_t)
    var_x = sample * (_window_mean(x * x) - mean_x * mean_x)
    cov = sample * (_window_mean(x * t) - mean_x * mean_t)
    luminance = (2 * mean_x * mean_t + K1**2) / (mean_x**2 + mean_t**2 + K1**2)
    structure = (2 * cov + K2**2) / (var_x + var_t + K2**2)
    return jnp.mean(luminance * structure, axis=SLICE)


def volume_nmse(target: jax.Array, image: jax.Array) -> jax.Array:
    """‖x - t‖² / ‖t‖² over a volume (S, H, W); a scalar."""
    target, image = _volume_pair(target, image)
    return jnp.sum(jnp.square(image - target)) / jnp.sum(jnp.square(target))


def volume_psnr(target: jax.Array, image: jax.Array) -> jax.Array:
    """10 log₁₀(max(t)² / MSE) in dB over a volume (S, H, W); a scalar."""
    target, image = _volume_pair(target, image)
    error = (image - target) / target.max()
    return -10 * jnp.log10(jnp.mean(jnp.square(error)))


def volume_ssim(target: jax.Array, image: jax.Array) -> jax.Array:
    """Mean over the slices of a volume (S, H, W) of SSIM with data range max(t); a scalar."""
    target, image = _volume_pair(target, image)
    return jnp.mean(ssim(target, image, data_range=target.max()))


def _pair(target: jax.Array, image: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Both as float32, after checking that they are magnitudes of one shape."""
    target, image = jnp.asarray(target), jnp.asarray(image)
    if target.shape != image.shape or target.ndim < 2:
        raise ValueError(
            f"expected two (..., H, W) of one shape, got {target.shape} and {image.shape}"
        )
    if jnp.iscomplexobj(target) or jnp.iscomplexobj(image):
        raise ValueError(f"expected real magnitudes, got {target.dtype} and {image.dtype}")
    return target.astype(jnp.float32), image.astype(jnp.float32)


def _volume_pair(target: jax.Array, image: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`_pair` for volumes (S, H, W)."""
    target, image = _pair(target, image)
    if target.ndim != 3:
        raise ValueError(f"expected a volume (S, H, W), got shape {target.shape}")
    return target, image


def _normalise(x: jax.Array, data_range: ArrayLike) -> jax.Array:
    """(..., H, W) in units of its data range, a scalar or (...)."""
    data_range = jnp.broadcast_to(jnp.asarray(data_range, jnp.float32), x.shape[:-2])
    return x / data_range[..., None, None]


def _window_mean(x: jax.Array) -> jax.Array:
    """Mean of every 7 × 7 window inside (..., H, W): (..., H-6, W-6)."""
    for axis in SLICE:
        window = [1] * x.ndim
        window[axis] = WINDOW
        x = lax.reduce_window(x, 0.0, lax.add, window, (1,) * x.ndim, "VALID")
    return x / WINDOW**2

"""Networks from a measurement to an image, built around a denoiser of two-channel images.

A denoiser is a linen module from float32 (B, H, W, 2) to the same shape in any float dtype: the
image is complex64 everywhere else. `denoise` is the only place where one becomes the other, so
Fourier transforms and data consistency never see a narrow dtype.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnas.core.schema import NetworkConfig
from jaxnas.mri.acquisition import Measurement, zero_filled
from jaxnas.mri.complexes import from_channels, to_channels
from jaxnas.mri.consistency import consistency


class Unrolled(nn.Module):
    """Alternates denoising and data consistency, from the zero-filled image x⁰ (Eq. 5 and 6):

        z = D(xⁿ),    xⁿ⁺¹ = argminₓ ‖x - z‖² + λ ‖s - A x‖².

    `denoiser(name=...)` makes one denoiser; its parameters are `cascade0`, `cascade1`, ..., or one
    `denoiser` for all cascades when `shared`. `lam` is λ, None the noiseless limit in which
    measured samples are kept; with `learn_lam` it is where the parameter `log_lam` = log λ starts.
    """

    denoiser: Callable[..., nn.Module]
    cascades: int = 3
    shared: bool = False
    lam: float | None = None
    learn_lam: bool = False
    cg_iterations: int = 8

    def __post_init__(self):
        if self.cascades < 1:
            raise ValueError(f"expected at least one cascade, found {self.cascades}")
        if self.lam is not None and self.lam < 0:
            raise ValueError(f"expected a lam that is not negative, found {self.lam}")
        if self.learn_lam and not (self.lam and math.isfinite(self.lam)):
            raise ValueError(f"a learned λ needs a positive start in lam, found {self.lam}")
        super().__post_init__()

    @nn.compact
    def __call__(self, measurement: Measurement, *context: Any) -> jax.Array:
        """The image complex64 (B, H, W), scaled as the measurement.

        `context` goes to every denoiser: a supernet's softmaxed weights.
        """
        lam = self._lam()
        image = zero_filled(measurement)
        for denoiser in self._denoisers():
            image = denoise(denoiser, image, *context)
            image = consistency(image, measurement, lam=lam, iterations=self.cg_iterations)
        return image

    def _denoisers(self) -> list[nn.Module]:
        """The denoiser of each cascade."""
        if self.shared:
            return [self.denoiser(name="denoiser")] * self.cascades
        return [self.denoiser(name=f"cascade{n}") for n in range(self.cascades)]

    def _lam(self) -> jax.Array | float | None:
        """λ as given, or exp of the learned parameter: positive whatever the optimiser does."""
        if not self.learn_lam:
            return self.lam
        start = nn.initializers.constant(jnp.log(self.lam))
        return jnp.exp(self.param("log_lam", start, (), jnp.float32))


def unroll(
    config: NetworkConfig, denoiser: Callable[..., nn.Module], *, shared: bool = False
) -> Unrolled:
    """`Unrolled` with the cascades and the data consistency of a config."""
    return Unrolled(
        denoiser,
        cascades=config.cascades,
        shared=shared,
        lam=config.lam,
        learn_lam=config.learn_lam,
        cg_iterations=config.cg_iterations,
    )


class PostProcessing(nn.Module):
    """One denoiser applied to the zero-filled image, its parameters in `denoiser`; no physics."""

    denoiser: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, measurement: Measurement) -> jax.Array:
        """The image complex64 (B, H, W), scaled as the measurement."""
        return denoise(self.denoiser(name="denoiser"), zero_filled(measurement))


def denoise(denoiser: Callable, image: jax.Array, *context: Any) -> jax.Array:
    """Applies a two-channel denoiser to a complex64 image (B, H, W)."""
    return from_channels(denoiser(to_channels(image), *context))

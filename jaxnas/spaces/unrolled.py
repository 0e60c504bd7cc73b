"""Networks from a measurement to an image, built around a denoiser of two-channel images.

A denoiser is a linen module from float32 (B, H, W, 2) to the same shape in any float dtype: the
image is complex64 everywhere else. `denoise` is the only place where one becomes the other, so
Fourier transforms and data consistency never see a narrow dtype.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnas.mri.acquisition import Measurement, zero_filled
from jaxnas.mri.complexes import from_channels, to_channels
from jaxnas.mri.consistency import consistency
from jaxnas.spaces.section import NetworkConfig


class Unrolled(nn.Module):
    """Alternates denoising and data consistency, from the zero-filled image x⁰ (Eq. 5 and 6):

        z = D(xⁿ),    xⁿ⁺¹ = argminₓ ‖x - z‖² + λ ‖s - A x‖².

    `denoiser(name=...)` makes one denoiser; its parameters are `cascade0`, `cascade1`, ..., or one
    `denoiser` for all cascades when `shared`. `lam` is λ, None the noiseless limit in which
    measured samples are kept; with `learn_lam` it is where the parameter `log_lam` = log λ starts.

    Two choices change the program and not its results. With `remat` the backward pass computes
    every cascade again instead of keeping what is inside it. `scanned` cascades are one loop,
    compiled once, over their stacked parameters; otherwise they are written out.
    """

    denoiser: Callable[..., nn.Module]
    cascades: int = 3
    shared: bool = False
    lam: float | None = None
    learn_lam: bool = False
    cg_iterations: int = 8
    remat: bool = False
    scanned: bool = False

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

        def cascade(denoiser: Callable, image: jax.Array) -> jax.Array:
            image = denoise(denoiser, image, *context)
            return consistency(image, measurement, lam=lam, iterations=self.cg_iterations)

        image = zero_filled(measurement)
        # Written out when the parameters are drawn: kernels of one shape share a compiled draw.
        if self.scanned and not self.is_initializing():
            return self._scan(cascade, image)
        if self.remat and not self.is_initializing():
            cascade = nn.remat(cascade)
        denoisers = {name: self.denoiser(name=name) for name in dict.fromkeys(self._names())}
        for name in self._names():
            image = cascade(denoisers[name], image)
        return image

    def _names(self) -> list[str]:
        """The names of the denoisers' parameters, cascade by cascade."""
        if self.shared:
            return ["denoiser"] * self.cascades
        return [f"cascade{n}" for n in range(self.cascades)]

    def _scan(self, cascade: Callable, image: jax.Array) -> jax.Array:
        """The cascades as one loop, from the first one's image to the last one's."""
        apply = self.denoiser(parent=None).apply

        def step(image: jax.Array, params: Any) -> tuple[jax.Array, None]:
            return cascade(partial(apply, {"params": params}), image), None

        if self.remat:
            # Inside a loop nothing can be merged with what the forward pass computed.
            step = jax.checkpoint(step, prevent_cse=False)
        params = [self.variables["params"][name] for name in self._names()]
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *params)
        return jax.lax.scan(step, image, stacked)[0]

    def _lam(self) -> jax.Array | float | None:
        """λ as given, or exp of the learned parameter: positive whatever the optimiser does."""
        if self.lam is None or not self.learn_lam:
            return self.lam
        start = nn.initializers.constant(jnp.log(self.lam))
        return jnp.exp(self.param("log_lam", start, (), jnp.float32))


def unroll(
    config: NetworkConfig, denoiser: Callable[..., nn.Module], *, shared: bool = False
) -> Unrolled:
    """`Unrolled` with the cascades and the data consistency of a config.

    Several cascades are scanned on an accelerator. On a CPU the program that is written out is
    faster, but there only a loop keeps XLA from merging what is computed again with the first time.
    """
    on_accelerator = jax.default_backend() != "cpu"
    return Unrolled(
        denoiser,
        cascades=config.cascades,
        shared=shared,
        lam=config.lam,
        learn_lam=config.learn_lam,
        cg_iterations=config.cg_iterations,
        remat=config.remat == "cascades",
        scanned=config.cascades > 1 and (on_accelerator or config.remat != "none"),
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

"""Batch normalisation whose training step is free of state.

    y = γ (x − μ) / √(σ² + ε) + β,   μ and σ² over the images and pixels of a batch

A training step only ever uses the statistics of its own batch. What inference reads is not a
running average: the collection `batch_stats` holds the statistics of the last batch for which it
was mutable, and whoever evaluates a network averages them over some batches of its final weights.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

EPSILON = 1e-5
STATISTICS = "batch_stats"


class BatchNorm(nn.Module):
    """Normalises (B, H, W, C) per channel, in float32, back to the dtype of the input.

    Statistics `mean` and `variance` (C,), the biased variance; params `scale` and `bias` (C,) if
    `affine`.
    """

    affine: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """By the statistics of this batch if `train`, else by those in `batch_stats`."""
        channels, wide = x.shape[-1:], x.astype(jnp.float32)
        if train:
            mean, variance = batch_statistics(wide)
            if self.is_mutable_collection(STATISTICS):
                self._statistic("mean", jnp.zeros, channels).value = mean
                self._statistic("variance", jnp.ones, channels).value = variance
        else:
            mean = self._statistic("mean", jnp.zeros, channels).value
            variance = self._statistic("variance", jnp.ones, channels).value
        scale = jax.lax.rsqrt(variance + EPSILON)
        shift = -mean * scale
        if self.affine:
            gamma = self.param("scale", nn.initializers.ones_init(), channels)
            beta = self.param("bias", nn.initializers.zeros_init(), channels)
            scale, shift = gamma * scale, gamma * shift + beta
        return (wide * scale[None, None, None] + shift[None, None, None]).astype(x.dtype)

    def _statistic(self, name: str, start: Any, shape: tuple[int, ...]) -> nn.Variable:
        return self.variable(STATISTICS, name, start, shape, jnp.float32)


def batch_statistics(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and biased variance (C,) of x (B, H, W, C) over images and pixels, in two passes."""
    mean = x.mean(axis=(0, 1, 2))
    return mean, jnp.square(x - mean[None, None, None]).mean(axis=(0, 1, 2))

"""Batch normalisation whose training step is free of state.

    y = γ (x − μ) / √(σ² + ε) + β,   μ and σ² over the images and pixels of a batch

A training step only ever uses the statistics of its own batch. What inference reads is not a
running average: the collection `batch_stats` holds the statistics of the last batch for which it
was mutable, and whoever evaluates a network averages them over some batches of its final weights.

Inference reads the collection `folded` instead, where there is one: `bias` (C,), and `scale` (C,)
unless a kernel holds it already; see `models.folding`.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

NORM_EPSILON = 1e-5
STATISTICS, FOLDED = "batch_stats", "folded"


class BatchNorm(nn.Module):
    """Normalises (B, H, W, C) per channel, in float32, back to the dtype of the input.

    Statistics `mean` and `variance` (C,), the biased variance; params `scale` and `bias` (C,) if
    `affine`.
    """

    affine: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Normalises by the statistics of this batch if `train`, else by those in `batch_stats`."""
        channels, wide = x.shape[-1:], x.astype(jnp.float32)
        if not train and self.has_variable(FOLDED, "bias"):
            return self._folded(wide).astype(x.dtype)
        if train:
            mean, variance = batch_statistics(wide)
            if self.is_mutable_collection(STATISTICS):
                self._statistic("mean", jnp.zeros, channels).value = mean
                self._statistic("variance", jnp.ones, channels).value = variance
        else:
            mean = self._statistic("mean", jnp.zeros, channels).value
            variance = self._statistic("variance", jnp.ones, channels).value
        affine = {}
        if self.affine:
            affine["scale"] = self.param("scale", nn.initializers.ones_init(), channels)
            affine["bias"] = self.param("bias", nn.initializers.zeros_init(), channels)
        scale, shift = scale_and_shift(affine, {"mean": mean, "variance": variance})
        return (wide * scale[None, None, None] + shift[None, None, None]).astype(x.dtype)

    def _folded(self, wide: jax.Array) -> jax.Array:
        if self.has_variable(FOLDED, "scale"):
            wide = wide * self.get_variable(FOLDED, "scale")[None, None, None]
        return wide + self.get_variable(FOLDED, "bias")[None, None, None]

    def _statistic(self, name: str, start: Any, shape: tuple[int, ...]) -> nn.Variable:
        return self.variable(STATISTICS, name, start, shape, jnp.float32)


def scale_and_shift(
    affine: Mapping[str, jax.Array], statistics: Mapping[str, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """(s, t) (C,) such that normalising x is s x + t, of the params and statistics of a layer."""
    scale = jax.lax.rsqrt(statistics["variance"] + NORM_EPSILON)
    shift = -statistics["mean"] * scale
    if not affine:
        return scale, shift
    return affine["scale"] * scale, affine["scale"] * shift + affine["bias"]


def batch_statistics(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and biased variance (C,) of x (B, H, W, C) over images and pixels, in two passes."""
    mean = x.mean(axis=(0, 1, 2))
    return mean, jnp.square(x - mean[None, None, None]).mean(axis=(0, 1, 2))

"""Batch normalisation whose training step is free of state, and its folding into convolutions.

    y = γ (x − μ) / √(σ² + ε) + β,   μ and σ² over the images and pixels of a batch

A training step only ever uses the statistics of its own batch. What inference reads is not a
running average: the collection `batch_stats` holds the statistics of the last batch for which it
was mutable, and whoever evaluates a network averages them over some batches of its final weights.

Inference reads the collection `folded` instead, where there is one: `bias` (C,), and `scale` (C,)
unless the kernel of the convolution before it holds it already (`fold_norms`):

    γ (k ∗ x − μ) / √(σ² + ε) + β  =  (s k) ∗ x + (β − s μ),   s = γ / √(σ² + ε).
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

NORM_EPSILON = 1e-5
STATISTICS, FOLDED = "batch_stats", "folded"
# The kernel whose output a layer normalises, by their names within one module: the first there is.
# Others, such as a kernel shared by several normalisations, are left as they are.
BEFORE: dict[str, tuple[tuple[str, ...], ...]] = {
    "norm": (("conv", "kernel"),),
    "norm0": (("pointwise0",), ("kernel0",), ("conv0", "kernel"), ("kernel",)),
    "norm1": (("pointwise1",), ("kernel1",), ("conv1", "kernel"), ("conv", "kernel")),
}


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
                kept = (
                    self._statistic("mean", jnp.zeros, channels),
                    self._statistic("variance", jnp.ones, channels),
                )
                if not self.is_initializing():  # whose image is nobody's
                    kept[0].value, kept[1].value = mean, variance
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


def fold_norms(variables: Mapping[str, Any]) -> Mapping[str, Any]:
    """Variables that give the same function at inference, up to rounding, without `batch_stats`.

    Kernels named in `BEFORE` take up the scale of the normalisation behind them; the collection
    `folded` holds what is left of every normalisation, and `params` nothing of them. Pure. A
    network without statistics passes unchanged.
    """
    if STATISTICS not in variables:
        return variables
    params, folded = _fold(variables["params"], variables[STATISTICS])
    rest = {name: x for name, x in variables.items() if name not in ("params", STATISTICS)}
    return {**rest, "params": params, FOLDED: folded}


def _fold(
    params: Mapping[str, Any], statistics: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    params, folded = dict(params), {}
    for name, own in statistics.items():
        if "mean" not in own:
            params[name], folded[name] = _fold(params.get(name, {}), own)
            continue
        scale, shift = scale_and_shift(params.pop(name, {}), own)
        place = next((path for path in BEFORE.get(name, ()) if _holds(params, path)), None)
        if place is None:
            folded[name] = {"scale": scale, "bias": shift}
        else:
            params, folded[name] = _scaled(params, place, scale), {"bias": shift}
    return params, folded


def _holds(params: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    for name in path:
        if not isinstance(params, Mapping) or name not in params:
            return False
        params = params[name]
    return not isinstance(params, Mapping)


def _scaled(params: Mapping[str, Any], path: tuple[str, ...], scale: Any) -> dict[str, Any]:
    """`params` with the outputs of the kernel at `path` times `scale` (outputs,)."""
    name, *rest = path
    own = params[name]
    if rest:
        return {**params, name: _scaled(own, tuple(rest), scale)}
    return {**params, name: own * scale.reshape((1,) * (own.ndim - 1) + (-1,))}

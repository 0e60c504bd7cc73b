"""The weighted average of client models, accumulated as they arrive."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct


@struct.dataclass
class Average:
    """The mean of the models seen so far and the sum of their weights, a float32 scalar.

    As a running mean it is exact where it should be: of one model, and of equal models that
    arrive one by one.
    """

    mean: Any
    weight: jax.Array


def empty_average(like: Any) -> Average:
    """The average of no model; `like` gives shapes and dtypes."""
    return Average(jax.tree.map(jnp.zeros_like, like), jnp.zeros((), jnp.float32))


def include(average: Average, models: Any, weights: jax.Array) -> Average:
    """The average with some more models, stacked (k, ...), of `weights` float32 (k,).

    mean ← mean + W/(W₀ + W) (Σ_c w_c/W x_c − mean) with W = Σ_c w_c and W₀ the weight so far. A
    model of weight 0 counts for nothing, whatever it holds.
    """
    added = jnp.sum(weights)
    total = average.weight + added
    shares, step = _ratio(weights, added), _ratio(added, total)

    def move(mean: jax.Array, stack: jax.Array) -> jax.Array:
        column = (-1, *[1] * mean.ndim)
        # No matrix product: accelerators may round its factors to ten bits.
        stack = jnp.where(weights.reshape(column) > 0, stack, 0)
        new = jnp.sum(shares.reshape(column).astype(stack.dtype) * stack, axis=0)
        return mean + step.astype(mean.dtype) * (new - mean)

    return Average(jax.tree.map(move, average.mean, models), total)


def _ratio(part: jax.Array, whole: jax.Array) -> jax.Array:
    """part / whole, and 0 where the whole is 0."""
    return jnp.where(whole > 0, part / jnp.where(whole > 0, whole, 1.0), 0.0)

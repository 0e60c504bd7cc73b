"""The fastest plan to compute a mixed state, among those of `ops.mixed`.

The estimate of a plan is for the edges that leave one state, forward and backward:

  branch   every layer of every candidate; the weighted sum, its gradient to every candidate, and
           the gradient of every weight
  stack    every layer of every candidate; the sum
  dense    one convolution of the largest support to the channels of all edges; the merging of
           kernels, which does not depend on the image
"""

from collections.abc import Callable
from functools import lru_cache

import jax
import jax.numpy as jnp

from jaxnas.ops.candidates import OPERATIONS
from jaxnas.ops.costs import Rates, layer_seconds, pass_seconds

# Elementwise passes per candidate and edge, each over one image: a sum reads every result.
SUM, WEIGHING = 1, 4
# And per candidate over the kernel it merges into: written into the sum, its gradient read back,
# the products with the weight and with the factors of the kernel.
MERGING = 4


def plan_seconds(
    operations: tuple[str, ...], *, pixels: int, channels: int, edges: int, rates: Rates
) -> dict[str, float]:
    """The estimated seconds of every plan, forward and backward.

    Args:
      operations: the names of the candidates.
      pixels: of the whole batch, B·H·W.
      channels: of the state.
      edges: how many leave it.
      rates: of the device.
    """
    convolutions = tuple(o for o in operations if o in OPERATIONS)
    return {
        name: seconds(convolutions, pixels, channels, edges, rates)
        for name, seconds in ESTIMATES.items()
    }


@lru_cache(maxsize=1024)
def cheapest_plan(
    operations: tuple[str, ...], *, pixels: int, channels: int, edges: int, rates: Rates
) -> str:
    """The plan of the least estimate; of equals, the earlier of `branch`, `stack`, `dense`."""
    found = plan_seconds(operations, pixels=pixels, channels=channels, edges=edges, rates=rates)
    return min(found, key=found.__getitem__)


def _branch(names, pixels, channels, edges, rates) -> float:
    weighing = len(names) * pass_seconds(WEIGHING * pixels * channels, rates)
    return _stack(names, pixels, channels, edges, rates) + edges * weighing


def _stack(names, pixels, channels, edges, rates) -> float:
    layers = [shape for name in names for shape in OPERATIONS[name].layers(channels)]
    run = sum(layer_seconds(shape, pixels, rates) for shape in layers)
    return edges * (run + len(names) * pass_seconds(SUM * pixels * channels, rates))


def _dense(names, pixels, channels, edges, rates) -> float:
    if not names:
        return 0.0
    shapes = [dense_shape(name, channels) for name in names]
    height, width = (max(shape[axis] for shape in shapes) for axis in (0, 1))
    merging = sum(pass_seconds(MERGING * h * w * i * o, rates) for h, w, i, o in shapes)
    wide = (height, width, channels, edges * channels)
    return layer_seconds(wide, pixels, rates) + edges * merging


ESTIMATES: dict[str, Callable[..., float]] = {"branch": _branch, "stack": _stack, "dense": _dense}


@lru_cache(maxsize=1024)
def dense_shape(operation: str, channels: int) -> tuple[int, ...]:
    """The shape (kh, kw, C, C) of a candidate as one dense kernel."""
    candidate = OPERATIONS[operation]
    kernels = {
        name: jax.ShapeDtypeStruct(spec.shape, jnp.float32)
        for name, spec in candidate.specs(channels).items()
    }
    return jax.eval_shape(candidate.dense, kernels).shape

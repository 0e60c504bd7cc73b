"""The candidate operations of the segmentation space: chains of ReLU, linear map, normalisation.

    sep_conv_k    (ReLU, depthwise k×k, 1×1, BN) twice
    dil_conv_k    ReLU, depthwise k×k of rate 2, 1×1, BN
    conv_3x3      ReLU, 3×3, BN
    *_pool_3x3    pooling of stride 1, BN without parameters
    skip_connect  the identity

With a normalisation inside they are not linear, so a mixture of them is no single convolution (as
in `ops.mixed`). What a mixture shares is the reading: all edges that leave the same tensors run
through an operation side by side, as groups of channels, in one call for each of its layers.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnas.ops.candidates import FIRST_GAIN, SKIP, Separable, Standard
from jaxnas.ops.conv import uniform_fan_in
from jaxnas.ops.depthwise import depthwise_conv2d
from jaxnas.ops.grouped import grouped_conv2d
from jaxnas.ops.norm import BatchNorm
from jaxnas.ops.registry import NORM_OPERATIONS

RATE = 2  # of the dilated operations

SEPARABLE_3 = (Separable(3), Separable(3))
SEPARABLE_5 = (Separable(5), Separable(5))
DILATED_3 = (Separable(3, dilation=RATE),)
DILATED_5 = (Separable(5, dilation=RATE),)
STANDARD_3 = (Standard(3),)


def check_segmentation_operations(operations: tuple[str, ...]) -> None:
    """Raises ValueError for a name that is not in `NORM_OPERATIONS` or that comes twice."""
    if not set(operations) <= {*NORM_OPERATIONS} or len(set(operations)) < len(operations):
        raise ValueError(f"expected distinct names out of {[*NORM_OPERATIONS]}, found {operations}")


class NormOperation(nn.Module):
    """One operation on several edges at once, each with kernels of its own.

    Edges are groups of channels; `edges` is a multiple of `sources`, and the edges that leave
    source g are g·E/G to (g + 1)·E/G. The kernels of edge e are its share of the last axis.

    Attributes:
      operation: one of `NORM_OPERATIONS`.
      edges: E.
      sources: G, how many tensors the edges leave.
      affine: whether the normalisation after a convolution has parameters.
      dtype: compute dtype; None is that of the input. Parameters stay float32.
    """

    operation: str
    edges: int = 1
    sources: int = 1
    affine: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """(B, H, W, G·C) → (B, H, W, E·C)."""
        check_segmentation_operations((self.operation,))
        if self.edges % self.sources or x.shape[-1] % self.sources:
            raise ValueError(
                f"expected edges and channels divisible by {self.sources} sources, found "
                f"{self.edges} edges and {x.shape[-1]} channels"
            )
        x = x.astype(self.dtype or x.dtype)
        if self.operation == SKIP:
            return self._for_each_edge(x)
        operation = NORM_OPERATIONS[self.operation]
        if callable(operation):
            pooled: Any = operation(x)
            return self._for_each_edge(BatchNorm(affine=False, name="norm")(pooled, train=train))
        for index, layer in enumerate(operation):
            x = self._linear(index, layer, nn.relu(x))
            x = BatchNorm(affine=self.affine, name=f"norm{index}")(x, train=train)
        return x

    def _linear(self, index: int, layer: Separable | Standard, r: jax.Array) -> jax.Array:
        """The linear map of one layer; only the first one still reads the sources."""
        groups = self.sources if index == 0 else self.edges
        channels = r.shape[-1] // groups
        wide = self.edges * channels
        if isinstance(layer, Standard):
            shape = (layer.size, layer.size, channels, wide)
            kernel = self._kernel(f"kernel{index}", shape, r.dtype)
            return grouped_conv2d(r, kernel, groups=groups, dilation=layer.dilation)
        if index == 0:
            r = self._for_each_edge(r)
        taps = self._kernel(f"depthwise{index}", (layer.size, layer.size, wide), r.dtype)
        pointwise = self._kernel(f"pointwise{index}", (1, 1, channels, wide), r.dtype, gain=1.0)
        y = depthwise_conv2d(r, taps, dilation=layer.dilation)
        return grouped_conv2d(y, pointwise, groups=self.edges)

    def _kernel(self, name: str, shape: tuple[int, ...], dtype: Any, *, gain: float = FIRST_GAIN):
        return self.param(name, uniform_fan_in(gain), shape).astype(dtype)

    def _for_each_edge(self, x: jax.Array) -> jax.Array:
        """Repeats every source for the edges that leave it: (…, G·C) → (…, E·C)."""
        if self.edges == self.sources:
            return x
        grouped = x.reshape(*x.shape[:-1], self.sources, 1, -1)
        copies = self.edges // self.sources
        shape = (*x.shape[:-1], self.sources, copies, grouped.shape[-1])
        return jnp.broadcast_to(grouped, shape).reshape(*x.shape[:-1], -1)


def channel_shuffle(x: jax.Array, *, groups: int) -> jax.Array:
    """Interleaves `groups` blocks of the last axis (Zhang et al., ShuffleNet): (…, C) → (…, C)."""
    if x.shape[-1] % groups:
        raise ValueError(f"expected channels divisible by {groups}, found {x.shape[-1]}")
    return x.reshape(*x.shape[:-1], groups, -1).swapaxes(-1, -2).reshape(x.shape)

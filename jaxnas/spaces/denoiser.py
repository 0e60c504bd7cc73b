"""The denoiser of cells of NAS-CSMRI (Fig. 7) and FedAutoMRI (Fig. 1a): two stems, cells, a tail.

All convolutions are bias-free, so that a constant factor on the input (a phase, through both
channels alike, or a scale) stays a factor (Eq. 15).
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnas.ops.candidates import NetworkSize, operations_size
from jaxnas.ops.conv import Conv
from jaxnas.ops.costs import Rates
from jaxnas.spaces.cell import DerivedCell, MixedCell
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.space import CellSpace

CELL = "normal"


class Denoiser(nn.Module):
    """x ↦ x + tail(cells(stems(x))) on float32 images (B, H, W, 2).

    Without a genotype every edge is a mixture and `weights` {cell: (edges, operations)} is
    needed; with one, the same module holds only the picked operations, under the same names,
    each times the genotype's weight of it. With `remat` the backward pass computes every cell again
    instead of keeping what is inside it.
    The stems, a ReLU between them, give the first cell's inputs C_{-1} and C_0.
    """

    space: CellSpace
    channels: int = 32
    cells: int = 3
    plan: str | Rates = "stack"
    genotype: Genotype | None = None
    dtype: Any = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(
        self, x: jax.Array, weights: Mapping[str, jax.Array] | None = None, /
    ) -> jax.Array:
        """Returns the de-aliased image, float32 (B, H, W, 2)."""
        before, last = stems(x.astype(self.dtype), self.channels)
        for index in range(self.cells):
            before, last = last, self._cell(index, before, last, weights)
        return x + tail(last, x.shape[-1]).astype(x.dtype)

    def size(self) -> NetworkSize:
        """The size of the network of its genotype; images have two channels. ValueError for a
        supernet."""
        if self.genotype is None:
            raise ValueError("expected a network of a genotype, found a supernet")
        width, last = self.channels, self.space.nodes * self.channels
        outputs = [width, width, *[last] * self.cells]
        size = NetworkSize().plus(9 * 2 * width + 9 * width**2 + 9 * outputs[-1] * 2)
        for before, own in pairwise(outputs[:-1]):
            size = size.plus((before + own) * width)
        cell = operations_size(self.genotype.operations(CELL), width)
        return size.plus(*cell.times(self.cells))

    def _cell(self, index, before, last, weights):
        name = f"cell{index}"
        if self.genotype is not None:
            nodes, shares = self.genotype.cell(CELL), self.genotype.cell_weights(CELL)
            cell = self._recomputed(DerivedCell)(
                nodes, shares, self.channels, self.dtype, name=name
            )
            return cell(before, last)
        cell = self._recomputed(MixedCell)(
            self.space.operations, self.space.nodes, self.channels, self.plan, self.dtype, name=name
        )
        return cell(before, last, weights[CELL])

    def _recomputed(self, cell: type[nn.Module]) -> type[nn.Module]:
        """The kind of cell whose inside the backward pass computes again, if it is to."""
        return nn.remat(cell) if self.remat and not self.is_initializing() else cell


def stems(x: jax.Array, channels: int) -> tuple[jax.Array, jax.Array]:
    """The outputs C_{-1} and C_0 (B, H, W, channels) of two convolutions of the calling module."""
    before = Conv(channels, gain=1.0, name="stem0")(x)
    return before, Conv(channels, gain=2.0, name="stem1")(nn.relu(before))


def tail(last: jax.Array, features: int) -> jax.Array:
    """The correction (B, H, W, features), by a last convolution of the calling module."""
    return Conv(features, name="tail")(nn.relu(last))

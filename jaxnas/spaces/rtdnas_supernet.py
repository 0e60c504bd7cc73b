"""The two-level supernet: every cell of the grid mixed inside, every tile the sum of its cells.

    tile (l + 1, t) = Σ over cells (l, s, d) that lead to it of β[l, s, d] · cell(tile (l, s))

The layers are one scan over stacked parameters, because the program of ten layers written out
takes XLA many minutes to compile. So every layer computes every cell of the grid; dead ones have
β = 0 and neither a value nor a gradient comes from them. Most are at coarse scales, where a cell is
cheap: at the paper's size they add an eighth to the arithmetic. Layers are rematerialised: the
backward pass keeps the tiles and nothing inside the cells.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnas.core.trees import add_up
from jaxnas.ops.norm import STATISTICS
from jaxnas.spaces.grid import CELL_TYPES, Grid
from jaxnas.spaces.mixed_tile import MixedTile, Tables
from jaxnas.spaces.section import SEGMENTATION_OPERATIONS
from jaxnas.spaces.two_level_parts import (
    CLASS_COUNT,
    Head,
    Stem,
    check_image,
    end_scales,
    head_doublings,
)

Tiles = tuple[jax.Array, ...]  # one per scale


class MixedLayer(nn.Module):
    """All cells of a layer; attributes as in `RtdnasSupernet`."""

    operations: tuple[str, ...]
    nodes: int
    channels: int
    partial: int
    train: bool

    @nn.compact
    def __call__(self, tiles: Tiles, betas: jax.Array, tables: Tables) -> tuple[Tiles, None]:
        """Tiles (B, H/2^s, W/2^s, C·2^s), betas (D, 3), tables {type: (edges, operations)}."""
        arriving: list[list[jax.Array]] = [[] for _ in tiles]
        for scale, x in enumerate(tiles):
            targets = {d: scale + d - 1 for d in range(3) if 0 <= scale + d - 1 < len(tiles)}
            tile = MixedTile(
                self.operations,
                tuple(CELL_TYPES[d] for d in targets),
                tuple(self.channels * 2**target for target in targets.values()),
                self.nodes,
                self.partial,
                self.train,
                name=f"scale{scale}",
            )
            for (d, target), y in zip(targets.items(), tile(x, tables)):
                arriving[target].append(betas[scale, d].astype(y.dtype) * y)
        return tuple(add_up(parts) for parts in arriving), None


class RtdnasSupernet(nn.Module):
    """The supernet on images (B, H, W, any), H and W divisible by stem_stride · 2^(scales − 1).

    Attributes:
      grid: layers, scales and where paths end; a head at every scale where they may.
      operations: operation names in the order of the weights.
      nodes: nodes of a cell.
      channels: of scale 0; scale s has 2^s times as many.
      partial: one part in so many of the channels goes through the operations.
      classes: of the logits.
      stem_stride: 1, or 2 to start at half the image's size.
      dtype: compute dtype. Parameters, statistics and logits stay float32.
    """

    grid: Grid = Grid()
    operations: tuple[str, ...] = SEGMENTATION_OPERATIONS
    nodes: int = 3
    channels: int = 16
    partial: int = 4
    classes: int = CLASS_COUNT
    stem_stride: int = 2
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, weights: Mapping[str, Any], *, train: bool) -> jax.Array:
        """Images and softmaxed weights (see `spaces.relaxation`) → float32 logits (B, H, W, K)."""
        check_image(x, scales=self.grid.scales, stem_stride=self.stem_stride)
        stem = Stem(self.channels, self.stem_stride, affine=False, dtype=self.dtype, name="stem")
        layers = nn.scan(
            nn.remat(MixedLayer, prevent_cse=False),
            variable_axes={"params": 0, STATISTICS: 0},
            split_rngs={"params": True},
            in_axes=(0, nn.broadcast),  # pyright: ignore[reportArgumentType]  # flax: untyped, 0
            length=self.grid.layers,
        )(self.operations, self.nodes, self.channels, self.partial, train, name="layers")
        betas = jnp.where(self.grid.mask, weights["betas"], 0.0)
        tiles, _ = layers(self._start(stem(x, train=train)), betas, weights["cells"])
        return add_up(self._head(scale)(tiles[scale]) for scale in end_scales(self.grid))

    def _start(self, tile: jax.Array) -> Tiles:
        """The tiles before the first layer: that of scale 0, and empty ones."""
        batch, height, width, channels = tile.shape
        sizes = [2**scale for scale in range(1, self.grid.scales)]
        shapes = [(batch, height // n, width // n, channels * n) for n in sizes]
        return (tile, *(jnp.zeros(shape, tile.dtype) for shape in shapes))

    def _head(self, scale: int) -> Head:
        doublings = head_doublings(scale, self.stem_stride)
        return Head(doublings, self.classes, self.dtype, name=f"head{scale}")

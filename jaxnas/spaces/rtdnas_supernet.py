"""The two-level supernet: every cell of the grid mixed inside, every tile the sum of its cells.

    tile (l + 1, t) = Σ over cells (l, s, d) that lead to it of β[l, s, d] · cell(tile (l, s))

The layers are one scan over stacked parameters, because the program of ten layers written out
takes XLA many minutes to compile. So every layer computes every cell of the grid; dead ones have
β = 0 and neither a value nor a gradient comes from them. Most are at coarse scales, where a cell is
cheap: at the paper's size they add an eighth to the arithmetic. Layers are rematerialised: the
backward pass keeps the tiles and nothing inside the cells.

The cells that leave one tile are computed side by side. A node mixes every (input, operation) pair
by p (Eq. 1), on a part of the channels (PC-DARTS):

    X_i = shuffle [ Σ_{j<i} Σ_o p_i[j, o] o(x_j),  Σ_{j<i} (Σ_o p_i[j, o]) x̄_j ]

where x_j is the first 1/K of the channels of X_j and x̄_j the rest. X_0 is the tile, which all its
cells share. Everything that reads X_j, through whatever edge of whatever cell, is one call per
operation: cells and edges are groups of channels.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnas.core.trees import add_up
from jaxnas.ops.norm import STATISTICS
from jaxnas.ops.norm_operations import NormOperation, channel_shuffle
from jaxnas.spaces.derive import cell_edges
from jaxnas.spaces.grid import CELL_TYPES, Grid
from jaxnas.spaces.section import SEGMENTATION_OPERATIONS
from jaxnas.spaces.two_level_parts import (
    CLASS_COUNT,
    Head,
    Scaling,
    Stem,
    check_image,
    end_scales,
    head_doublings,
)

Tiles = tuple[jax.Array, ...]  # one per scale
Tables = dict[str, jax.Array]  # {type: (edges, operations)}


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


class MixedTile(nn.Module):
    """All cells that leave a tile.

    Attributes:
      operations: operation names in the order of the weights.
      cells: the types of the cells.
      features: the channels each cell leads to, in the order of `cells`.
      nodes: nodes of a cell.
      partial: K; one part in K of the channels goes through the operations, 1 is all of them.
      train: normalise by the statistics of the batch.
    """

    operations: tuple[str, ...]
    cells: tuple[str, ...]
    features: tuple[int, ...]
    nodes: int = 3
    partial: int = 4
    train: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, tables: Tables) -> tuple[jax.Array, ...]:
        """Tile (B, H, W, C) and softmaxed tables → per cell its output at its own scale."""
        if x.shape[-1] % self.partial:
            raise ValueError(f"expected channels divisible by {self.partial}, found {x.shape}")
        weights = jnp.stack([tables[cell] for cell in self.cells]).astype(x.dtype)
        nodes = self._nodes(x, weights)
        outputs = []
        for index, (cell, features) in enumerate(zip(self.cells, self.features)):
            joined = jnp.concatenate([node[..., index, :] for node in nodes], axis=-1)
            scaling = Scaling(cell, features, affine=False, name=f"scale_{cell}")
            outputs.append(scaling(joined, train=self.train))
        return tuple(outputs)

    def _nodes(self, x: jax.Array, weights: jax.Array) -> list[jax.Array]:
        """X_1, …, X_M, each (B, H, W, cells, C); weights (cells, edges, operations)."""
        order = cell_edges(self.nodes, inputs=1)
        mixed: list[list[jax.Array]] = [[] for _ in range(self.nodes)]
        passed: list[list[jax.Array]] = [[] for _ in range(self.nodes)]
        state, nodes = x[..., None, :], []
        for source in range(self.nodes):
            part, rest = jnp.split(state, [x.shape[-1] // self.partial], axis=-1)
            leaving = np.array([row for row, edge in enumerate(order) if edge[1] == source])
            shares = weights[:, leaving]
            sums, totals = self._leaving(source, part, shares), shares.sum(axis=-1)
            for column, node in enumerate(range(source, self.nodes)):
                mixed[node].append(sums[..., column, :])
                passed[node].append(totals[:, column, None][None, None, None] * rest)
            state = jnp.concatenate([add_up(mixed[source]), add_up(passed[source])], axis=-1)
            if self.partial > 1:
                state = channel_shuffle(state, groups=self.partial)
            nodes.append(state)
        return nodes

    def _leaving(self, source: int, part: jax.Array, weights: jax.Array) -> jax.Array:
        """Σ_o p o(x) on all edges from one source, (B, H, W, cells, targets, c).

        x_j is (B, H, W, 1 or cells, c), weights are (cells, targets, operations).
        """
        cells, targets, _ = weights.shape
        sources, channels = part.shape[-2:]
        flat, terms = part.reshape(*part.shape[:3], -1), []
        for index, name in enumerate(self.operations):
            operation = NormOperation(
                name, edges=cells * targets, sources=sources, name=f"from{source}_{name}"
            )
            y = operation(flat, train=self.train)
            y = y.reshape(*y.shape[:3], cells, targets, channels)
            terms.append(weights[None, None, None, :, :, index, None] * y)
        return add_up(terms)

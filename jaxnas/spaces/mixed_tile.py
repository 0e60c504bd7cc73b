"""The mixed cells that leave one tile of the grid, computed side by side.

A node mixes every (input, operation) pair by p (Eq. 1), on a part of the channels (PC-DARTS):

    X_i = shuffle [ Σ_{j<i} Σ_o p_i[j, o] o(x_j),  Σ_{j<i} (Σ_o p_i[j, o]) x̄_j ]

where x_j is the first 1/K of the channels of X_j and x̄_j the rest. X_0 is the tile, which all its
cells share. Everything that reads X_j, through whatever edge of whatever cell, is one call per
operation: cells and edges are groups of channels.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnas.core.trees import add_up
from jaxnas.ops.norm_operations import NormOperation, channel_shuffle
from jaxnas.spaces.derive import cell_edges
from jaxnas.spaces.two_level_parts import Scaling

Tables = dict[str, jax.Array]  # {type: (edges, operations)}


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

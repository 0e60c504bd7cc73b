"""Cells: small directed graphs of operations, mixed during the search and picked after it.

    C_l^i = Σ_j O_{j→i}(I_j),   O_{j→i} = Σ_k α^k_{j→i} O^k        (Eq. 11, 12)
    C_l   = Concat(C_l^1, …, C_l^M)                                (Eq. 10)

Parameters of an edge are named `edge<node>_<input>/<operation>` in both kinds of cell.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnas.ops.candidates import Operation
from jaxnas.ops.conv import Conv
from jaxnas.ops.mixed import MixedNodes
from jaxnas.spaces.genotype import Node


class Preprocess(nn.Module):
    """ReLU and a 1×1 convolution that bring a cell's input to `channels` channels."""

    channels: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(B, H, W, any) → (B, H, W, channels)."""
        return Conv(self.channels, (1, 1), dtype=self.dtype, gain=2.0, name="conv")(nn.relu(x))


class MixedCell(nn.Module):
    """A cell of the supernet: every node reads every earlier state through every operation."""

    operations: tuple[str, ...]
    nodes: int
    channels: int
    plan: str = "stack"
    dtype: Any = None

    @nn.compact
    def __call__(self, before: jax.Array, last: jax.Array, weights: jax.Array) -> jax.Array:
        """Outputs of cells l−2 and l−1, softmaxed weights (edges, operations) → (B, H, W, M·C)."""
        inputs = (
            Preprocess(self.channels, self.dtype, name="pre0")(before),
            Preprocess(self.channels, self.dtype, name="pre1")(last),
        )
        nodes = MixedNodes(
            self.operations, self.nodes, plan=self.plan, dtype=self.dtype, name="nodes"
        )
        return jnp.concatenate(nodes(inputs, weights), axis=-1)


class PickedEdge(nn.Module):
    """The sum of the operations picked on one edge."""

    operations: tuple[str, ...]
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(B, H, W, C) → (B, H, W, C)."""
        return sum(Operation(name, self.dtype, name=name)(x) for name in self.operations)


class DerivedNodes(nn.Module):
    """The nodes of a derived cell: each sums its picked operations (Eq. 17)."""

    picks: tuple[Node, ...]
    dtype: Any = None

    @nn.compact
    def __call__(self, inputs: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        """Two arrays (B, H, W, C) → one array per node."""
        states = list(inputs)
        for node, picks in enumerate(self.picks):
            reads = []
            for source in sorted({source for _, source in picks}):
                operations = tuple(name for name, s in picks if s == source)
                edge = PickedEdge(operations, self.dtype, name=f"edge{node}_{source}")
                reads.append(edge(states[source]))
            states.append(sum(reads))
        return tuple(states[len(inputs) :])


class DerivedCell(nn.Module):
    """A cell of a derived network, under the parameter names of the supernet's cell."""

    picks: tuple[Node, ...]
    channels: int
    dtype: Any = None

    @nn.compact
    def __call__(self, before: jax.Array, last: jax.Array) -> jax.Array:
        """Outputs of cells l−2 and l−1 → (B, H, W, M·C)."""
        inputs = (
            Preprocess(self.channels, self.dtype, name="pre0")(before),
            Preprocess(self.channels, self.dtype, name="pre1")(last),
        )
        nodes = DerivedNodes(self.picks, dtype=self.dtype, name="nodes")
        return jnp.concatenate(nodes(inputs), axis=-1)

"""Cells: small directed graphs of operations, mixed during the search and picked after it.

    C_l^i = Σ_j O_{j→i}(I_j),   O_{j→i} = Σ_k α^k_{j→i} O^k        (Eq. 11, 12)
    C_l   = Concat(C_l^1, …, C_l^M)                                (Eq. 10)

Parameters of an edge are named `edge<node>_<input>/<operation>` in both kinds of cell.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnas.core.trees import add_up
from jaxnas.ops.candidates import LAST_GAIN, OPERATIONS, Activation, Operation
from jaxnas.ops.conv import Conv
from jaxnas.ops.costs import Rates
from jaxnas.ops.mixed import MixedNodes
from jaxnas.spaces.genotype import Nested, Node


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
    plan: str | Rates = "stack"
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
    """The sum of the operations picked on one edge, each times its weight; `gain` and `activation`
    as theirs."""

    operations: tuple[str, ...]
    weights: tuple[float, ...]
    dtype: Any = None
    gain: float = 1.0
    activation: Activation = nn.relu

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(B, H, W, C) → (B, H, W, C)."""
        return add_up(
            weight * Operation(name, self.dtype, self.gain, self.activation, name=name)(x)
            for name, weight in zip(self.operations, self.weights)
        )


class DerivedNodes(nn.Module):
    """The nodes of a derived cell: each sums its picks (Eq. 17) times their `weights`.

    The kernels start such that a node has about `gain` times the variance of its inputs, however
    many picks. `activations` are those through which convolutions read inputs, and nodes; with
    `use_bias` a node that convolves has one.
    """

    picks: tuple[Node, ...]
    weights: Nested
    dtype: Any = None
    gain: float = 1.0
    activations: tuple[Activation, Activation] = (nn.relu, nn.relu)
    use_bias: bool = False

    @nn.compact
    def __call__(self, inputs: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        """The inputs (B, H, W, C) of the cell → one array per node."""
        states = list(inputs)
        for node, (picks, weights) in enumerate(zip(self.picks, self.weights)):
            # Var Σ wₖ oₖ = Σ wₖ² Var oₖ, and a candidate alone has LAST_GAIN of its input's.
            gain = self.gain / (LAST_GAIN * sum(weight**2 for weight in weights))
            reads = []
            for source in sorted({source for _, source in picks}):
                own = [(name, w) for (name, s), w in zip(picks, weights) if s == source]
                names, shares = zip(*own)
                activation = self.activations[source >= len(inputs)]
                edge = PickedEdge(
                    names, shares, self.dtype, gain, activation, name=f"edge{node}_{source}"
                )
                reads.append(edge(states[source]))
            if self.use_bias and any(name in OPERATIONS for name, _ in picks):
                bias = self.param(f"bias{node}", nn.initializers.zeros_init(), reads[0].shape[-1:])
                reads.append(bias.astype(reads[0].dtype)[None, None, None])
            states.append(add_up(reads))
        return tuple(states[len(inputs) :])


class DerivedCell(nn.Module):
    """A cell of a derived network, under the parameter names of the supernet's cell."""

    picks: tuple[Node, ...]
    weights: Nested
    channels: int
    dtype: Any = None

    @nn.compact
    def __call__(self, before: jax.Array, last: jax.Array) -> jax.Array:
        """Outputs of cells l−2 and l−1 → (B, H, W, M·C)."""
        inputs = (
            Preprocess(self.channels, self.dtype, name="pre0")(before),
            Preprocess(self.channels, self.dtype, name="pre1")(last),
        )
        nodes = DerivedNodes(self.picks, self.weights, self.dtype, name="nodes")
        return jnp.concatenate(nodes(inputs), axis=-1)

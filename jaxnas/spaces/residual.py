"""The space `unrolled`: residual cells of standard and separable convolutions, beyond the papers.

A cell is a tree that grows from its input h: node i is one operation of h or of an earlier node,

    n_i = O_i(n_j) + b_i,    n_0 = h,    O_i(n) = L(φ(n)) for a convolution L, n for a skip,

with φ the identity on h. What the tree ends in is added to a stream that passes all cells by:

    residual    h ← h + Σ n_i            over the nodes that no node reads
    recursive   h ← φ(Σ n_i) + φ(stem)   by one cell that is repeated

The residual blocks of DCCNN and MoDL are the cell conv(φ(conv(h))) of the first body; RDN is the
cell of three dilated convolutions in the second. In the supernet "no node reads n_j" has the
probability Π_{i>j} (1 - r_ij), where r_ij is the weight with which node i reads node j.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnas.core.trees import add_up
from jaxnas.ops.candidates import NONE, SKIP, Activation, NetworkSize, operations_size
from jaxnas.ops.conv import PYTORCH_GAIN, Conv
from jaxnas.ops.costs import Rates
from jaxnas.ops.mixed import MixedNodes
from jaxnas.spaces.cell import DerivedNodes
from jaxnas.spaces.denoiser import CELL
from jaxnas.spaces.derive import ONE_PAIR, cell_edges, node_count
from jaxnas.spaces.genotype import Genotype, Node
from jaxnas.spaces.space import CellSpace

UNROLLED_OPERATIONS = (
    "std_conv_3x3",
    "std_conv_5x5",
    "dil_2_std_conv_3x3",
    "dil_3_std_conv_3x3",
    "sep_conv_3x3",
    "dil_2_conv_3x3",
    "dil_3_conv_3x3",
    "conv_9x1_1x9",
    SKIP,
    NONE,
)
_KEPT = 2.0  # variance of a kernel, times its fan-in, that keeps the variance behind a ReLU


def _identity(x: jax.Array) -> jax.Array:
    return x


def _leaky_relu(x: jax.Array) -> jax.Array:
    return nn.leaky_relu(x, 0.01)


ACTIVATIONS: dict[str, Activation] = {"residual": nn.relu, "recursive": _leaky_relu}


@dataclass(frozen=True)
class ResidualSpace(CellSpace):
    """Cells that are trees of single operations, in a stream that passes them by."""

    def example_genotype(self) -> Genotype:
        """The residual block of DCCNN, behind it skips; with one node a single convolution."""
        nodes = [(("std_conv_3x3", 0),), (("std_conv_3x3", 1),)][: self.nodes]
        while len(nodes) < self.nodes:
            nodes.append(((SKIP, len(nodes)),))
        return Genotype(self.name, ((CELL, tuple(nodes)),))

    def hand_made(self) -> dict[str, Genotype]:
        """DCCNN, MoDL and RDN as far as the nodes hold them; each with what it fixes of the
        arrangement."""
        found, block = {}, self.example_genotype()
        if self.nodes >= 2:
            found["dccnn"] = replace(block, arrangement=(("body", "residual"), ("shared", False)))
            found["modl"] = replace(block, arrangement=(("body", "residual"), ("shared", True)))
        if self.nodes >= 3:
            dilated = ("std_conv_3x3", "dil_2_std_conv_3x3", "dil_3_std_conv_3x3")
            chain = [((name, source),) for source, name in enumerate(dilated)]
            chain += [((SKIP, source),) for source in range(3, self.nodes)]
            cells = ((CELL, tuple(chain)),)
            found["rdn"] = Genotype(self.name, cells, arrangement=(("body", "recursive"),))
        return found


UNROLLED_SPACE = ResidualSpace(
    "unrolled",
    UNROLLED_OPERATIONS,
    ONE_PAIR,
    example=(),
    arranged=(*CellSpace.arranged, "bias", "body"),
    denoiser="jaxnas.spaces.residual:ResidualCells",
)


class ResidualCells(nn.Module):
    """x ↦ x + tail(body(stem(x))) on float32 images (B, H, W, 2).

    Without a genotype every edge is a mixture and `weights` {cell: (edges, operations)} is needed.
    `body` as above; the recursive one has the parameters of one cell. Kernels start as those of
    DCCNN do, whichever the operation. With `remat` the backward pass computes every cell again.
    """

    space: CellSpace
    channels: int = 32
    cells: int = 3
    plan: str | Rates = "stack"
    genotype: Genotype | None = None
    dtype: Any = jnp.float32
    remat: bool = False
    use_bias: bool = True
    body: str = "residual"

    @nn.compact
    def __call__(
        self, x: jax.Array, weights: Mapping[str, jax.Array] | None = None, /
    ) -> jax.Array:
        """Returns the de-aliased image, float32 (B, H, W, 2)."""
        act = ACTIVATIONS[self.body]
        h = Conv(self.channels, use_bias=self.use_bias, name="stem")(x.astype(self.dtype))
        if self.body == "recursive":
            h = stem = act(h)
            cell = self._cell("cell", act)
            for _ in range(self.cells):
                h = act(cell(h, weights)) + stem
        else:
            for index in range(self.cells):
                h = h + self._cell(f"cell{index}", act)(h, weights)
        return x + Conv(x.shape[-1], use_bias=self.use_bias, name="tail")(h).astype(x.dtype)

    def size(self) -> NetworkSize:
        """The size of the network of its genotype; images have two channels. ValueError for a
        supernet."""
        if self.genotype is None:
            raise ValueError("expected a network of a genotype, found a supernet")
        width, biases = self.channels, self.use_bias * 1
        cell = operations_size(self.genotype.operations(CELL), width)
        convolves = sum(any(o not in (SKIP, NONE) for o, _ in n) for n in self.genotype.cell(CELL))
        cell = cell.plus(biases * convolves * width, 0)
        repeated = self.cells if self.body == "residual" else 1
        size = NetworkSize().plus(9 * 2 * width + 9 * width * 2).plus(biases * (width + 2), 0)
        return size.plus(cell.params * repeated, cell.macs * self.cells)

    def _cell(self, name: str, act: Activation) -> nn.Module:
        parts = {"activations": (_identity, act), "use_bias": self.use_bias, "dtype": self.dtype}
        if self.genotype is not None:
            make = partial(PickedTree, self.genotype.cell(CELL), **parts)
        else:
            make = partial(MixedTree, self.space.operations, self.space.nodes, self.plan, **parts)
        if self.remat and not self.is_initializing():
            make = partial(nn.remat(make.func), *make.args, **make.keywords)
        return make(name=name)


class MixedTree(nn.Module):
    """A cell of the supernet; fields as those of `MixedNodes`."""

    operations: tuple[str, ...]
    nodes: int
    plan: str | Rates = "stack"
    activations: tuple[Activation, Activation] = (_identity, nn.relu)
    use_bias: bool = True
    dtype: Any = None

    @nn.compact
    def __call__(self, h: jax.Array, weights: Mapping[str, jax.Array]) -> jax.Array:
        """(B, H, W, C) → what the tree ends in, by the probability that it does, (B, H, W, C)."""
        table = weights[CELL]
        nodes = MixedNodes(
            self.operations,
            self.nodes,
            plan=self.plan,
            dtype=self.dtype,
            activations=self.activations,
            use_bias=self.use_bias,
            name="nodes",
        )((h,), table)
        ends = end_weights(table, self.operations)
        return add_up(w.astype(node.dtype) * node for w, node in zip(ends, nodes))


class PickedTree(nn.Module):
    """A derived cell, under the parameter names of the supernet's; fields as of `DerivedNodes`."""

    picks: tuple[Node, ...]
    activations: tuple[Activation, Activation] = (_identity, nn.relu)
    use_bias: bool = True
    dtype: Any = None

    @nn.compact
    def __call__(self, h: jax.Array, weights: None = None) -> jax.Array:
        """(B, H, W, C) → the sum of the nodes that no node reads, (B, H, W, C)."""
        nodes = DerivedNodes(
            self.picks,
            tuple((1.0,) * len(node) for node in self.picks),
            self.dtype,
            PYTORCH_GAIN / _KEPT,
            self.activations,
            self.use_bias,
            name="nodes",
        )((h,))
        read = {source - 1 for node in self.picks for _, source in node}
        return add_up(node for index, node in enumerate(nodes) if index not in read)


def end_weights(table: jax.Array, operations: tuple[str, ...]) -> list[jax.Array]:
    """The probability of every node that no later one reads it, by a table (edges, operations)."""
    real = np.array([name != NONE for name in operations], np.float32)
    reads = table.astype(jnp.float32) @ real
    nodes = node_count(len(table), inputs=1)
    unread = [jnp.ones(())] * nodes
    for row, (_, source) in enumerate(cell_edges(nodes, inputs=1)):
        if source > 0:
            unread[source - 1] = unread[source - 1] * (1 - reads[row])
    return unread

"""The contract of a search space, and the space of one repeated cell."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.errors import UserError
from jaxnas.ops.candidates import NONE
from jaxnas.spaces.derive import (
    CellEdge,
    Rule,
    cell_edges,
    keep_operations,
    kept_of,
    node_count,
    picks,
    place_operations,
    shares,
)
from jaxnas.spaces.genotype import Genotype, Nested, Node, check_genotype

OFF = -1e9  # softmax([0, OFF]) is exactly [1, 0] in float32
_LEAST = 1e-9  # a share that was rounded to zero
ALPHA_SCALE = 1e-3  # of the logits at the start of a search
_DIGITS = 6  # of the weights in alphas.json


class Space(Protocol):
    """Everything that a search may build, with the number of nodes bound.

    Logits (alphas) and softmaxed weights are pytrees of a form of the space's own.
    """

    @property
    def name(self) -> str:
        """Its name in configs."""
        ...

    @property
    def operations(self) -> tuple[str, ...]:
        """The operations of an edge, in the order of its weights."""
        ...

    @property
    def cells(self) -> tuple[str, ...]:
        """The kinds of cells."""
        ...

    @property
    def nodes(self) -> int:
        """The nodes of a cell."""
        ...

    @property
    def arranged(self) -> tuple[str, ...]:
        """The keys of the section `network` that a genotype may arrange."""
        ...

    def edges(self) -> tuple[CellEdge, ...]:
        """The (node, input) edges of a cell: the rows of its tables."""
        ...

    def init_alphas(self, key: jax.Array) -> Any:
        """Logits close to zero, so that every choice starts with about the same weight."""
        ...

    def relax(self, alphas: Any) -> Any:
        """The softmaxed weights of logits; differentiable."""
        ...

    def derive(self, weights: Any, *, max_skips: int | None = None) -> Genotype:
        """The genotype of softmaxed weights; deterministic."""
        ...

    def random_alphas(self, key: jax.Array) -> Any:
        """The one-hot logits of a genotype drawn uniformly; works inside jit."""
        ...

    def one_hot_alphas(self, genotype: Genotype) -> Any:
        """Logits that give all weight to the picks of a genotype."""
        ...

    def example_genotype(self) -> Genotype:
        """A genotype that stands in where none was searched yet."""
        ...

    def check(self, genotype: Genotype, *, where: str = "genotype") -> Genotype:
        """Returns `genotype` if the space holds it; otherwise UserError with the first misfit."""
        ...

    def record(self, weights: Any) -> dict[str, Any]:
        """Softmaxed weights as JSON, by the keys of a record of alphas.json."""
        ...

    def decision(self, record: Mapping[str, Any]) -> Any:
        """The part of a record that decides what is built; it stays while a search is stable."""
        ...


@dataclass(frozen=True)
class CellSpace:
    """A space whose cells draw every edge from the same operations.

    `rule` says what a derived cell keeps, `cells` names the kinds of cell; all cells of one kind
    share their alphas. `example` names the operations of an example on the edges from input 0,
    input 1, ...; its last entry goes on for all further inputs. `denoiser` is the `module:class` of
    the network that the cells make up, with fields and `size` as those of `Denoiser`.
    """

    name: str
    operations: tuple[str, ...]
    rule: Rule
    example: tuple[tuple[str, ...], ...]
    cells: tuple[str, ...] = ("normal",)
    nodes: int = 3
    arranged: tuple[str, ...] = ("cascades", "cells", "channels", "shared", "lam", "learn_lam")
    denoiser: str = "jaxnas.spaces.denoiser:Denoiser"

    def bound(self, nodes: int) -> Self:
        """The same space with cells of that many nodes."""
        return replace(self, nodes=nodes)

    @property
    def inputs(self) -> int:
        """The number of a cell's own inputs."""
        return self.rule.inputs

    def edges(self) -> tuple[CellEdge, ...]:
        """The (node, input) edges of a cell: the rows of its tables."""
        return cell_edges(self.nodes, inputs=self.inputs)

    def init_alphas(self, key: jax.Array) -> dict[str, jax.Array]:
        """Logits {cell: (edges, operations)} close to zero."""
        shape = (len(self.cells), len(self.edges()), len(self.operations))
        draws = ALPHA_SCALE * jax.random.normal(key, shape)
        return dict(zip(self.cells, draws))

    def relax(self, alphas: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        """Softmax over the operations of every edge (Eq. 13, 14)."""
        return edge_weights(alphas)

    def record(self, weights: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """The `weights` of every cell, to six digits."""
        return {"weights": rounded(weights)}

    def decision(self, record: Mapping[str, Any]) -> Any:
        """The picks of every cell."""
        return record["genotype"]["cells"]

    def derive(
        self, weights: Mapping[str, np.ndarray], *, max_skips: int | None = None
    ) -> Genotype:
        """The genotype of softmaxed weights {cell: (edges, operations)}; deterministic.

        `max_skips` as in `keep_operations`. Where an edge keeps several operations the genotype
        remembers their weights, renormalised to one on every edge.
        """
        cells, remembered, several = [], [], False
        for name in self.cells:
            table = np.asarray(weights[name], np.float64)
            kept = keep_operations(table, self.operations, self.rule, max_skips=max_skips)
            nodes = picks(kept, self.operations, inputs=self.inputs)
            cells.append((name, nodes))
            remembered.append((name, shares(nodes, table, self.operations, inputs=self.inputs)))
            several |= bool((kept.sum(axis=1) > 1).any())
        return Genotype(self.name, tuple(cells), weights=tuple(remembered) if several else None)

    def expected_picks(self, weights: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        """The expected number of every operation on the edges of a derived cell: {cell: (edges,
        operations)}, differentiable in the softmaxed weights p.

            n_e^o = s_e p_e^o / (1 - p_e^none),    n_e^none = 0

        s_e is what the rule keeps of a node over the node's inputs, each as likely as the others;
        `none` is never kept, so only the proportions of the others count.
        """
        real = jnp.asarray([name != NONE for name in self.operations], jnp.float32)
        expected = {}
        for name, table in weights.items():
            kept = real[None] * jnp.asarray(table, jnp.float32)
            share = self.rule.shares(node_count(len(table), inputs=self.inputs))
            total = jnp.maximum(kept.sum(axis=1, keepdims=True), _LEAST)
            expected[name] = jnp.asarray(share, jnp.float32)[:, None] * kept / total
        return expected

    def random_alphas(self, key: jax.Array) -> dict[str, jax.Array]:
        """Logits {cell: (edges, operations)} of a genotype drawn uniformly; works inside jit."""
        shape = (len(self.edges()), len(self.operations))
        none = jnp.asarray([name == NONE for name in self.operations])[None]

        def table(cell_key):
            # Under random strengths whatever the rule may keep is equally likely.
            strength = jnp.where(none, -jnp.inf, jax.random.uniform(cell_key, shape))
            return self._logits(self.rule.keep(strength), jnp.ones(()))

        keys = jax.random.split(key, len(self.cells))
        return {name: table(cell_key) for name, cell_key in zip(self.cells, keys)}

    def one_hot_alphas(self, genotype: Genotype) -> dict[str, jax.Array]:
        """Logits {cell: (edges, operations)} that give all weight to the picks of a genotype.

        The picks of an edge share it as the genotype's weights say, evenly where it has none; an
        edge without picks is `none`.
        """
        logits = {}
        for name, nodes in genotype.cells:
            weights = genotype.cell_weights(name)
            kept = kept_of(nodes, self.operations, inputs=self.inputs)
            table = place_operations(nodes, weights, self.operations, inputs=self.inputs)
            logits[name] = self._logits(jnp.asarray(kept), jnp.asarray(table, jnp.float32))
        return logits

    def count(self) -> int:
        """The number of genotypes, but for weights and arrangements."""
        real = sum(name != NONE for name in self.operations)
        nodes = (self.rule.ways(node + self.inputs, real) for node in range(self.nodes))
        return math.prod(nodes) ** len(self.cells)

    def example_genotype(self) -> Genotype:
        """A genotype that stands in where none was searched yet; see `example`."""
        edges = self.edges()
        table = np.zeros((len(edges), len(self.operations)))
        for row, (_, source) in enumerate(edges):
            for name in self.example[min(source, len(self.example) - 1)]:
                table[row, self.operations.index(name)] = 1.0
        return self.derive(dict.fromkeys(self.cells, table))

    def check(self, genotype: Genotype, *, where: str = "genotype") -> Genotype:
        """Returns `genotype` if the space holds it; otherwise UserError with the first misfit."""
        real = [name for name in self.operations if name != NONE]
        check_genotype(
            genotype,
            space=self.name,
            cells=self.cells,
            operations=real,
            inputs=self.inputs,
            where=where,
        )
        for name, nodes in genotype.cells:
            kept = kept_of(nodes, self.operations, inputs=self.inputs)
            if (
                sum(map(len, nodes)) != kept.sum()
                or (self.rule.keep(kept.astype(float)) != kept).any()
            ):
                raise UserError(
                    f"{where}: cell {name!r} is not of space {self.name!r}, which keeps "
                    f"{self.rule.says}; its picks are {nodes}"
                )
        return genotype

    def hand_made(self) -> dict[str, Genotype]:
        """The hand-made networks that are points of the space, by name; by default none."""
        return {}

    def neighbours(self, genotype: Genotype) -> tuple[Genotype, ...]:
        """All that the space holds and that differs from `genotype` in a single pick.

        Where a genotype has weights, those of a neighbour are even: its own belong to what was
        searched. Arrangement and paths stay.
        """
        found: dict[Genotype, None] = {}
        for name, nodes in genotype.cells:
            for index, node in enumerate(nodes):
                for other in self._edits(index, node):
                    changed = (*nodes[:index], other, *nodes[index + 1 :])
                    if not self._keeps(changed):
                        continue
                    cells = tuple((n, changed if n == name else own) for n, own in genotype.cells)
                    weights = genotype.weights and tuple((n, _even_weights(c)) for n, c in cells)
                    found[replace(genotype, cells=cells, weights=weights)] = None
        return tuple(found)

    def _edits(self, index: int, node: Node) -> Iterator[Node]:
        """The node with one pick exchanged, picks in the order of their inputs and operations."""
        order = {name: at for at, name in enumerate(self.operations)}
        for at, own in enumerate(node):
            for source in range(index + self.inputs):
                for name in self.operations:
                    pick = (name, source)
                    if name != NONE and pick != own and pick not in node:
                        picks = (*node[:at], pick, *node[at + 1 :])
                        yield tuple(sorted(picks, key=lambda p: (p[1], order[p[0]])))

    def _keeps(self, nodes: tuple[Node, ...]) -> bool:
        """True where the rule of the space keeps these picks."""
        kept = kept_of(nodes, self.operations, inputs=self.inputs)
        return bool(np.array_equal(self.rule.keep(kept.astype(float)), kept))

    def _logits(self, kept: jax.Array, shares: jax.Array) -> jax.Array:
        """log shares where kept and OFF elsewhere; `none` where nothing is kept."""
        logits = jnp.where(kept, jnp.log(jnp.maximum(shares, _LEAST)), OFF)
        if NONE not in self.operations:
            return logits
        column = jnp.arange(len(self.operations)) == self.operations.index(NONE)
        return jnp.where(kept.any(axis=1, keepdims=True) | ~column[None], logits, 0.0)


def _even_weights(nodes: tuple[Node, ...]) -> Nested:
    """Weights that the picks of an edge share evenly."""
    return tuple(
        tuple(1.0 / sum(s == source for _, s in node) for _, source in node) for node in nodes
    )


def edge_weights(alphas: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """Softmax over the operations of every edge, float32 (edges, operations) (Eq. 13, 14)."""
    return {name: jax.nn.softmax(table, axis=-1) for name, table in alphas.items()}


def rounded(weights: Any) -> Any:
    """A pytree of weights as nested lists of numbers with `_DIGITS` decimals."""
    return jax.tree.map(lambda x: np.round(np.float64(x), _DIGITS).tolist(), dict(weights))

"""Rules for the operations of a cell that a derived network keeps, over the table of the cell.

A table has a row per edge and a column per operation; an edge list orders its rows: node by node,
for each node its inputs ascending. A cell has one or two inputs of its own. Rules work on NumPy
and JAX arrays alike, inside jit as well.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np

from jaxnas.ops.candidates import NONE, SKIP
from jaxnas.spaces.genotype import Nested, Node

CellEdge = tuple[int, int]
WeightTable = Any  # (edges, operations), NumPy or JAX
DIGITS = 6  # of the weights in a genotype


@dataclass(frozen=True)
class Rule:
    """A rule for what is kept of a cell.

    `keep` maps strengths (edges, operations) to booleans of the same shape; ties go to the earlier
    operation and input, and −∞ is never kept. `says` is the rule in words, `inputs` the number of
    inputs of the cells it is for, ways(sources, operations) the number of nodes that it can keep.
    """

    keep: Callable[[WeightTable], WeightTable]
    says: str
    ways: Callable[[int, int], int]
    inputs: int = 2

    def shares(self, nodes: int) -> np.ndarray:
        """The mean number of operations of an edge over all cells of that many nodes which the rule
        may derive, (edges,): what it keeps of a node, over the node's inputs."""
        edges = cell_edges(nodes, inputs=self.inputs)
        kept = self.keep(np.ones((len(edges), 2))).sum(axis=1)  # no rule keeps more of an edge
        entered = np.array([node for node, _ in edges])
        return np.array([kept[entered == node].mean() for node in entered])


def cell_edges(nodes: int, *, inputs: int = 2) -> tuple[CellEdge, ...]:
    """All (node, input) edges of a densely connected cell; M(M+3)/2 with two inputs (Eq. 18)."""
    return tuple((node, source) for node in range(nodes) for source in range(node + inputs))


def node_count(edges: int, *, inputs: int = 2) -> int:
    """M such that M(M−1)/2 + M·inputs = edges; ValueError if there is none."""
    nodes = next(m for m in range(edges + 1) if len(cell_edges(m, inputs=inputs)) >= edges)
    if len(cell_edges(nodes, inputs=inputs)) != edges:
        raise ValueError(f"{edges} edges do not make a densely connected cell of {inputs} inputs")
    return nodes


def _strongest_inputs(strength: WeightTable, *, count: int, inputs: int) -> WeightTable:
    """The strongest operation of the `count` strongest inputs of every node (Eq. 17)."""
    first = _rank(strength, _all_rivals(strength.shape[1])) < 1
    reads = _rank(strength.max(axis=1), _same_node(strength.shape[0], inputs)) < count
    return first & reads[:, None] & (strength > -np.inf)


def _two_operations(strength: WeightTable) -> WeightTable:
    """The two strongest operations of every edge."""
    return (_rank(strength, _all_rivals(strength.shape[1])) < 2) & (strength > -np.inf)


TWO_INPUTS = Rule(
    partial(_strongest_inputs, count=2, inputs=2),
    "two operations a node, from two different inputs",
    lambda sources, operations: math.comb(sources, 2) * operations**2,
)
TWO_OPERATIONS = Rule(
    _two_operations,
    "two different operations on every edge, all edges",
    lambda sources, operations: math.comb(operations, 2) ** sources,
)
ONE_PAIR = Rule(
    partial(_strongest_inputs, count=1, inputs=1),
    "one operation a node",
    lambda sources, operations: sources * operations,
    inputs=1,
)
TWO_PAIRS = Rule(
    partial(_strongest_inputs, count=2, inputs=1),
    "two operations a node, from two different inputs, and one in the first node",
    lambda sources, operations: (math.comb(sources, 2) or 1) * operations ** min(sources, 2),
    inputs=1,
)


def _rank(x: WeightTable, rivals: np.ndarray) -> WeightTable:
    """Number of stronger rivals of every entry of x (..., N); of equals, the earlier is stronger.

    `rivals` (N, N) says who competes with whom.
    """
    mine, other = x[..., :, None], x[..., None, :]
    earlier = np.tri(x.shape[-1], k=-1, dtype=bool).reshape(*(1,) * (x.ndim - 1), *rivals.shape)
    rivals = rivals.reshape(earlier.shape)
    return (((other > mine) | ((other == mine) & earlier)) & rivals).sum(axis=-1)


@lru_cache
def _all_rivals(count: int) -> np.ndarray:
    return np.ones((count, count), bool)


@lru_cache
def _same_node(edges: int, inputs: int) -> np.ndarray:
    order = cell_edges(node_count(edges, inputs=inputs), inputs=inputs)
    nodes = np.array([node for node, _ in order])
    return nodes[:, None] == nodes[None]


def keep_operations(
    table: np.ndarray, operations: Sequence[str], rule: Rule, *, max_skips: int | None = None
) -> np.ndarray:
    """True where `rule` keeps an operation, by softmaxed weights (edges, operations); never `none`.

    With `max_skips` a cell keeps at most that many skips (P-DARTS, Chen et al. 2019): the weakest
    are struck out and the rule is applied again.
    """
    strength = np.where([name == NONE for name in operations], -np.inf, table)
    while True:
        kept = rule.keep(strength)
        skips = [(row, op) for row, op in np.argwhere(kept).tolist() if operations[op] == SKIP]
        if max_skips is None or len(skips) <= max_skips:
            return kept
        strength[min(skips, key=lambda place: strength[place])] = -np.inf


def picks(kept: np.ndarray, operations: Sequence[str], *, inputs: int = 2) -> tuple[Node, ...]:
    """The nodes of a table of booleans (edges, operations), picks in the order of the table."""
    edges = cell_edges(node_count(len(kept), inputs=inputs), inputs=inputs)
    chosen = [(edges[row], operations[op]) for row, op in np.argwhere(kept).tolist()]
    return tuple(
        tuple((name, source) for (at, source), name in chosen if at == node)
        for node in range(edges[-1][0] + 1)
    )


def place_operations(
    nodes: Sequence[Node],
    values: Sequence[Sequence[float]],
    operations: Sequence[str],
    *,
    inputs: int = 2,
) -> np.ndarray:
    """A table (edges, operations) with the value of every pick at its place, 0 elsewhere."""
    rows = {edge: row for row, edge in enumerate(cell_edges(len(nodes), inputs=inputs))}
    table = np.zeros((len(rows), len(operations)))
    for node, (node_picks, node_values) in enumerate(zip(nodes, values)):
        for (name, source), value in zip(node_picks, node_values):
            table[rows[node, source], operations.index(name)] = value
    return table


def kept_of(nodes: Sequence[Node], operations: Sequence[str], *, inputs: int = 2) -> np.ndarray:
    """The booleans (edges, operations) of picks; the inverse of `picks`."""
    return (
        place_operations(nodes, [[1.0] * len(node) for node in nodes], operations, inputs=inputs)
        > 0
    )


def shares(
    nodes: Sequence[Node], table: np.ndarray, operations: Sequence[str], *, inputs: int = 2
) -> Nested:
    """The weights of picks in a table (edges, operations), renormalised to one on every edge."""
    kept = np.where(kept_of(nodes, operations, inputs=inputs), table, 0.0)
    kept = kept / np.maximum(kept.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    rows = {edge: row for row, edge in enumerate(cell_edges(len(nodes), inputs=inputs))}
    return tuple(
        tuple(
            round(float(kept[rows[node, source], operations.index(name)]), DIGITS)
            for name, source in node_picks
        )
        for node, node_picks in enumerate(nodes)
    )

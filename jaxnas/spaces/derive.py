"""From alphas to a genotype, and back: the discrete networks inside the continuous one.

An edge list orders the rows of an alpha table: node by node, for each node its inputs ascending.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.ops.candidates import NONE, SKIP
from jaxnas.spaces.genotype import Genotype, Node

Edge = tuple[int, int]
OFF = -1e9  # softmax([0, OFF]) is exactly [1, 0] in float32


def cell_edges(nodes: int) -> tuple[Edge, ...]:
    """All (node, input) edges of a densely connected cell: M(M+3)/2 of them (Eq. 18)."""
    return tuple((node, source) for node in range(nodes) for source in range(node + 2))


def derive(
    space: str,
    weights: Mapping[str, np.ndarray],
    operations: Sequence[str],
    *,
    picks: int = 2,
    max_skips: int | None = None,
) -> Genotype:
    """The genotype of softmaxed weights {cell: (edges, operations)}, Eq. 17.

    Each node keeps its `picks` strongest (input, operation) pairs with distinct inputs; `none`
    is never picked. Ties go to the earlier operation and input, so the result is deterministic.
    With `max_skips` a cell keeps at most that many skips (P-DARTS, Chen et al. 2019): the weakest
    are struck out and their nodes pick again.
    """
    cells = tuple(
        (name, _derive_cell(np.asarray(table), tuple(operations), picks, max_skips))
        for name, table in weights.items()
    )
    return Genotype(space, cells)


def _derive_cell(
    table: np.ndarray, operations: tuple[str, ...], picks: int, max_skips: int | None
) -> tuple[Node, ...]:
    strength = np.where([name == NONE for name in operations], -np.inf, table)
    edges = cell_edges(_node_count(len(table)))
    while True:
        rows = _strongest(strength.max(axis=1), edges, picks)
        skips = [row for row in rows if operations[strength[row].argmax()] == SKIP]
        if max_skips is None or len(skips) <= max_skips:
            break
        skip = operations.index(SKIP)
        weakest = min(skips, key=lambda row: strength[row, skip])
        strength[weakest, skip] = -np.inf
    chosen = [(edges[row][0], (operations[strength[row].argmax()], edges[row][1])) for row in rows]
    return tuple(
        tuple(pick for at, pick in chosen if at == node) for node in range(edges[-1][0] + 1)
    )


def _strongest(best: np.ndarray, edges: Sequence[Edge], picks: int) -> list[int]:
    """The rows of the `picks` strongest edges of every node, in edge order."""
    rows = []
    for node in range(edges[-1][0] + 1):
        own = [row for row, edge in enumerate(edges) if edge[0] == node]
        rows += sorted(sorted(own, key=lambda row: -best[row])[:picks])
    return rows


def _node_count(edges: int) -> int:
    """M such that M(M+3)/2 = edges; ValueError if there is none."""
    nodes = round(((9 + 8 * edges) ** 0.5 - 3) / 2)
    if len(cell_edges(nodes)) != edges:
        raise ValueError(f"{edges} edges do not make a densely connected cell; expected M(M+3)/2")
    return nodes


def one_hot_alphas(genotype: Genotype, operations: Sequence[str]) -> dict[str, jax.Array]:
    """Logits {cell: (edges, operations)} under which the supernet computes this genotype.

    A picked edge puts all its weight on its operation, every other edge on `none`.
    """
    none = operations.index(NONE)
    alphas = {}
    for name, nodes in genotype.cells:
        edges = cell_edges(len(nodes))
        table = np.full((len(edges), len(operations)), OFF, np.float32)
        chosen = {
            (node, source): operations.index(operation)
            for node, picks in enumerate(nodes)
            for operation, source in picks
        }
        for row, edge in enumerate(edges):
            table[row, chosen.get(edge, none)] = 0.0
        alphas[name] = jnp.asarray(table)
    return alphas


def random_alphas(key: jax.Array, operations: Sequence[str], *, nodes: int) -> jax.Array:
    """Logits (edges, operations) of one genotype drawn uniformly; works inside jit.

    Every node reads two distinct inputs through any operation but `none`.
    """
    none = operations.index(NONE)
    real = jnp.asarray([i for i in range(len(operations)) if i != none])
    tables = []
    for node, node_key in enumerate(jax.random.split(key, nodes)):
        k_inputs, k_operations = jax.random.split(node_key)
        inputs = jax.random.permutation(k_inputs, node + 2)[:2]
        picked = real[jax.random.randint(k_operations, (node + 2,), 0, len(operations) - 1)]
        reads = jnp.isin(jnp.arange(node + 2), inputs)
        tables.append(jnp.where(reads, picked, none))
    hot = jax.nn.one_hot(jnp.concatenate(tables), len(operations), dtype=bool)
    return jnp.where(hot, 0.0, OFF)

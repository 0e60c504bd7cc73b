"""From alphas to a genotype, and back: the discrete networks inside the continuous one.

An edge list orders the rows of an alpha table: node by node, for each node its inputs ascending.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.spaces.genotype import Genotype, Node

Edge = tuple[int, int]
OFF = -1e9  # softmax([0, OFF]) is exactly [1, 0] in float32


def cell_edges(nodes: int) -> tuple[Edge, ...]:
    """All (node, input) edges of a densely connected cell: M(M+3)/2 of them (Eq. 18)."""
    return tuple((node, source) for node in range(nodes) for source in range(node + 2))


def derive(
    space: str, weights: Mapping[str, np.ndarray], operations: Sequence[str], *, picks: int = 2
) -> Genotype:
    """The genotype of softmaxed weights {cell: (edges, operations)}, Eq. 17.

    Each node keeps its `picks` strongest (input, operation) pairs with distinct inputs; `none`
    is never picked. Ties go to the earlier operation and input, so the result is deterministic.
    """
    cells = tuple(
        (name, _derive_cell(np.asarray(table), operations, picks))
        for name, table in weights.items()
    )
    return Genotype(space, cells)


def _derive_cell(table: np.ndarray, operations: Sequence[str], picks: int) -> tuple[Node, ...]:
    allowed = np.array([name != "none" for name in operations])
    strength = np.where(allowed, table, -np.inf)
    best, operation = strength.max(axis=1), strength.argmax(axis=1)
    edges = cell_edges(_node_count(len(table)))
    nodes: list[Node] = []
    for node in range(edges[-1][0] + 1):
        rows = [row for row, edge in enumerate(edges) if edge[0] == node]
        rows = sorted(sorted(rows, key=lambda row: -best[row])[:picks])
        nodes.append(tuple((operations[operation[row]], edges[row][1]) for row in rows))
    return tuple(nodes)


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
    none = operations.index("none")
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
    none = operations.index("none")
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

"""Expected latency of a cell in milliseconds, differentiable in its softmaxed weights.

    Lat_ij   = Σ_o p_ij^o Lat^o                         an edge                      (Eq. 3)
    Lat_cell = max over paths X_0 … X_N + S_cell        a cell                       (Eq. 4)

The edges of a cell are ordered by node, for each node by input; the cell has `inputs` inputs, so
node i reads inputs + i states: one input makes (1,0), (2,0), (2,1), (3,0), … . Everything is
float32. Absent edges of a derived cell weigh −∞, not 0: no path leads through them.
"""

import jax
import jax.numpy as jnp
import numpy as np


def _joint(weights: jax.Array, op_ms: jax.Array, inputs: int) -> jax.Array:
    del inputs
    return jnp.einsum("eo,...o->...e", weights, op_ms, precision=jax.lax.Precision.HIGHEST)


def _conditional(weights: jax.Array, op_ms: jax.Array, inputs: int) -> jax.Array:
    return _joint(weights / weights.sum(axis=-1, keepdims=True), op_ms, inputs)


def _node(weights: jax.Array, op_ms: jax.Array, inputs: int) -> jax.Array:
    same = np.equal.outer(*2 * [_node_of_edges(len(weights), inputs)]).astype(np.float32)
    return jnp.matmul(_joint(weights, op_ms, inputs), same, precision=jax.lax.Precision.HIGHEST)


# Eq. 3 prints Σ_{j<i} inside Lat_ij. `joint` weighs an edge by its share of its node; `conditional`
# is the operation expected on the edge given that the edge is taken; `node` is the equation to the
# letter, where all edges into a node cost the same.
EDGE_LATENCY = {"joint": _joint, "conditional": _conditional, "node": _node}


def expected_edges(
    weights: jax.Array, op_ms: jax.Array | np.ndarray, *, inputs: int = 1, edge: str = "joint"
) -> jax.Array:
    """Eq. 3: softmaxed weights (E, O), operations (..., O) in ms → edges (..., E) in ms."""
    return EDGE_LATENCY[edge](
        jnp.asarray(weights, jnp.float32), jnp.asarray(op_ms, jnp.float32), inputs
    )


def derived_edges(kept: jax.Array, op_ms: jax.Array | np.ndarray) -> jax.Array:
    """The edges of a derived cell: kept (E, O) bool, operations (..., O) → (..., E) in ms.

    Every kept operation counts in full; an edge that keeps none is −∞.
    """
    kept = jnp.asarray(kept, bool)
    edge_ms = _joint(kept.astype(jnp.float32), jnp.asarray(op_ms, jnp.float32), 1)
    present = jnp.broadcast_to(kept.any(axis=-1), edge_ms.shape)
    return jnp.where(present, edge_ms, -jnp.inf)


def longest_path(edge_ms: jax.Array, *, inputs: int = 1) -> jax.Array:
    """Eq. 4 without S_cell: edges (..., E) in ms → the longest path (...).

        d_i = max_{j<i} (d_j + Lat_ij),   d = 0 at the inputs

    The path ends where it is longest, since the cell's output waits for every node; with all edges
    present that is X_N. Edges on other paths have no gradient.
    """
    done = [jnp.zeros(edge_ms.shape[:-1], jnp.float32)] * inputs
    row = 0
    while row < edge_ms.shape[-1]:
        ready = jnp.stack(done, axis=-1) + edge_ms[..., row : row + len(done)]
        row += len(done)
        done.append(ready.max(axis=-1))
    return jnp.stack(done[inputs:], axis=-1).max(axis=-1)


def serial_sum(edge_ms: jax.Array, *, inputs: int = 1) -> jax.Array:
    """All edges one after the other, as one stream runs them: (..., E) in ms → (...)."""
    del inputs
    return jnp.where(jnp.isneginf(edge_ms), 0.0, edge_ms).sum(axis=-1)


CELL_LATENCY = {"longest": longest_path, "serial": serial_sum}


def expected_cell(
    weights: jax.Array,
    op_ms: jax.Array | np.ndarray,
    *,
    inputs: int = 1,
    edge: str = "joint",
    cell: str = "longest",
) -> jax.Array:
    """A mixed cell without S_cell: weights (E, O), operations (..., O) in ms → (...) in ms."""
    # Under `node` every edge holds the sum of its node, which a serial sum must count once.
    edge = "joint" if (edge, cell) == ("node", "serial") else edge
    edge_ms = expected_edges(weights, op_ms, inputs=inputs, edge=edge)
    return CELL_LATENCY[cell](edge_ms, inputs=inputs)


def derived_cell(
    kept: jax.Array, op_ms: jax.Array | np.ndarray, *, inputs: int = 1, cell: str = "serial"
) -> jax.Array:
    """A derived cell without S_cell: kept (E, O) bool, operations (..., O) → (...) in ms."""
    return CELL_LATENCY[cell](derived_edges(kept, op_ms), inputs=inputs)


def _node_of_edges(edges: int, inputs: int) -> np.ndarray:
    """The node that each edge enters, int (E,)."""
    nodes = np.repeat(np.arange(edges), np.arange(edges) + inputs)
    return nodes[:edges]

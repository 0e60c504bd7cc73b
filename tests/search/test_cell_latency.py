import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.search.cell_latency import (
    CELL_LATENCY,
    EDGE_LATENCY,
    derived_cell,
    derived_edges,
    expected_cell,
    expected_edges,
    longest_path,
    serial_sum,
)

OP_MS = np.array([0.1, 1.0, 2.0, 1.5])


def cell_edges(nodes, inputs):
    """(state, source) of every edge, in order; states are numbered from the inputs on."""
    return [(i, j) for i in range(inputs, inputs + nodes) for j in range(i)]


def joint_softmax(logits, nodes, inputs):
    """Softmax over all rows of one node (Eq. 1), by loops."""
    weights = np.exp(np.asarray(logits, np.float64))
    edges = cell_edges(nodes, inputs)
    for i in range(inputs, inputs + nodes):
        rows = [row for row, (node, _) in enumerate(edges) if node == i]
        weights[rows] /= weights[rows].sum()
    return weights


def brute_force_longest(edge_ms, nodes, inputs):
    """The longest of all chains of edges from an input, found by trying every set of nodes."""
    ms = dict(zip(cell_edges(nodes, inputs), edge_ms))
    longest = -np.inf
    states = range(inputs, inputs + nodes)
    for length in range(1, nodes + 1):
        for chain in itertools.combinations(states, length):
            for start in range(inputs):
                steps = itertools.pairwise((start, *chain))
                longest = max(longest, sum(ms[after, before] for before, after in steps))
    return longest


def test_check_value_of_a_uniform_cell():
    weights = joint_softmax(np.zeros((6, 4)), 3, 1)
    np.testing.assert_allclose(
        expected_edges(weights, OP_MS), [1.15, 0.575, 0.575, *[1.15 / 3] * 3], rtol=1e-6
    )
    assert float(expected_cell(weights, OP_MS)) == pytest.approx(2.1083, abs=5e-5)
    assert float(expected_cell(weights, OP_MS, cell="serial")) == pytest.approx(3.45)


@pytest.mark.parametrize(("nodes", "inputs"), [(3, 1), (1, 1), (5, 1), (2, 2), (4, 2)])
def test_edges_by_loops(nodes, inputs):
    rng = np.random.default_rng(nodes)
    edges = cell_edges(nodes, inputs)
    weights = joint_softmax(rng.normal(size=(len(edges), 4)), nodes, inputs)
    joint = [sum(p * ms for p, ms in zip(row, OP_MS)) for row in weights]
    conditional = [value / sum(row) for value, row in zip(joint, weights)]
    node = [sum(v for v, (k, _) in zip(joint, edges) if k == i) for i, _ in edges]
    for name, expected in (("joint", joint), ("conditional", conditional), ("node", node)):
        found = expected_edges(weights, OP_MS, inputs=inputs, edge=name)
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("nodes", "inputs"), [(3, 1), (1, 1), (5, 1), (2, 2), (4, 2)])
def test_longest_path_by_trying_all(seed, nodes, inputs):
    rng = np.random.default_rng(seed)
    edge_ms = rng.uniform(0, 2, len(cell_edges(nodes, inputs))).astype(np.float32)
    for absent in (0.0, 0.5):  # half of the edges of a derived cell may be absent
        edge_ms = np.where(rng.random(len(edge_ms)) < absent, -np.inf, edge_ms)
        expected = brute_force_longest(edge_ms, nodes, inputs)
        assert float(longest_path(jnp.asarray(edge_ms), inputs=inputs)) == pytest.approx(expected)
        assert float(serial_sum(jnp.asarray(edge_ms))) == pytest.approx(
            edge_ms[np.isfinite(edge_ms)].sum()
        )


def test_the_node_reading_makes_the_longest_path_a_sum():
    weights = joint_softmax(np.random.default_rng(0).normal(size=(6, 4)), 3, 1)
    serial = expected_cell(weights, OP_MS, edge="joint", cell="serial")
    for cell in CELL_LATENCY:
        found = expected_cell(weights, OP_MS, edge="node", cell=cell)
        assert float(found) == pytest.approx(float(serial), rel=1e-6)


def test_an_absent_edge_makes_no_path():
    """X1 and X2 read the input, X3 reads X1: a zero for the absent (2,1), (3,2) would chain all."""
    kept = np.zeros((6, 4), bool)
    kept[[0, 1, 4], [1, 2, 3]] = True  # 1 ms, 2 ms, 1.5 ms
    np.testing.assert_array_equal(
        derived_edges(kept, OP_MS), [1.0, 2.0, -np.inf, -np.inf, 1.5, -np.inf]
    )
    assert float(derived_cell(kept, OP_MS, cell="longest")) == 2.5
    assert float(derived_cell(kept, OP_MS)) == 4.5
    zeros = jnp.array([1.0, 2.0, 0.0, 0.0, 1.5, 0.0])
    assert float(longest_path(zeros)) == 2.5
    through = zeros.at[1].set(0.5)  # 1 → (2,1) → (3,2) must not beat 1 → (3,1) either
    assert float(longest_path(through)) == 2.5
    kept[4] = False
    kept[5, 1] = True  # X3 reads X2 by 1 ms: (2,0) + (3,2), and never X1's 1 ms before them
    assert float(derived_cell(kept, OP_MS, cell="longest")) == 3.0


def test_zero_for_an_absent_edge_would_be_wrong():
    present = jnp.array([5.0, 1.0, -jnp.inf, -jnp.inf, -jnp.inf, 3.0])
    assert float(longest_path(present)) == 5.0
    assert float(longest_path(jnp.where(jnp.isneginf(present), 0.0, present))) == 8.0


@pytest.mark.parametrize("edge", EDGE_LATENCY)
@pytest.mark.parametrize("cell", CELL_LATENCY)
def test_scales_are_a_batch_and_gradients_are_those_of_finite_differences(edge, cell):
    rng = np.random.default_rng(2)
    logits = jnp.asarray(rng.normal(size=(6, 4)), jnp.float32)
    op_ms = jnp.asarray(rng.uniform(0.1, 2, (3, 4)), jnp.float32)

    @jax.jit
    def total(logits):
        weights = jnp.exp(logits) / jnp.exp(logits).sum()
        return expected_cell(weights, op_ms, edge=edge, cell=cell).sum()

    assert float(total(logits)) == pytest.approx(
        sum(
            float(expected_cell(jnp.exp(logits) / jnp.exp(logits).sum(), row, edge=edge, cell=cell))
            for row in op_ms
        ),
        rel=1e-5,
    )
    gradient = jax.grad(total)(logits)
    step = jnp.asarray(rng.normal(size=(6, 4)), jnp.float32)
    h = 1e-2
    slope = (total(logits + h * step) - total(logits - h * step)) / (2 * h)
    assert float(jnp.vdot(gradient, step)) == pytest.approx(float(slope), rel=2e-2, abs=1e-3)


def test_edges_off_the_longest_path_have_no_gradient():
    gradient = jax.grad(longest_path)(jnp.array([1.0, 0.5, 1.0, 0.1, 0.2, 1.0]))
    np.testing.assert_array_equal(gradient, [1, 0, 1, 0, 0, 1])

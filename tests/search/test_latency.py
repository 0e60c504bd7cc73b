import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnas.search.latency import (
    LAYER_PROBABILITIES,
    LatencyModel,
    OperationTimes,
    derived_cells,
    expected_cells,
    expected_latency,
    expected_stack_latency,
    layer_probabilities,
    serial_latency,
)
from jaxnas.search.objective import LatencyObjective, latency_loss
from jaxnas.spaces.grid import CELL_TYPES, Grid, path_cells
from jaxnas.spaces.registry import SPACES
from jaxnas.spaces.space import edge_weights
from tests.search.test_cell_latency import cell_edges, joint_softmax
from tests.spaces.grids import all_paths, path_weight, random_betas

GRID = Grid()
PATHS = all_paths(GRID)


def times(seed, grid=GRID, operations=4):
    rng = np.random.default_rng(seed)
    scaling = rng.uniform(0.1, 1.0, (3, grid.scales))
    scaling[0, 0] = scaling[2, -1] = np.nan  # no cell leads beyond the finest or the coarsest
    return OperationTimes(rng.uniform(0.1, 2, (grid.scales, operations)), scaling, 0.7)


def weights(seed, grid=GRID, operations=4):
    rng = np.random.default_rng(seed)
    cells = {n: joint_softmax(rng.normal(size=(6, operations)), 3, 1) for n in CELL_TYPES}
    return {"cells": cells, "betas": random_betas(seed, grid)}


@pytest.mark.parametrize("grid", [GRID, Grid(end="any"), Grid(5, 3), Grid(1, 2)], ids=str)
def test_probabilities_of_a_layer_add_up_to_one(grid):
    for layer in LAYER_PROBABILITIES:
        k = layer_probabilities(grid, betas=random_betas(0, grid), layer=layer)
        np.testing.assert_allclose(k.sum(axis=(1, 2)), 1.0, rtol=1e-6)
        assert not np.asarray(k)[~grid.mask].any()


@pytest.mark.parametrize("grid", [GRID, Grid(end="any"), Grid(6, 5)], ids=str)
def test_end_to_end_is_the_share_of_all_paths_and_beta_their_probability(grid):
    betas, paths = random_betas(3, grid), all_paths(grid)
    share, chance = np.zeros((2, *grid.mask.shape))
    for path in paths:
        for cell in path_cells(path):
            share[cell] += 1 / len(paths)
            chance[cell] += np.exp(path_weight(path, betas))
    np.testing.assert_allclose(layer_probabilities(grid), share, rtol=1e-5)
    found = layer_probabilities(grid, betas=betas, layer="beta")
    np.testing.assert_allclose(found, chance, rtol=1e-4, atol=1e-7)


def test_forward_is_the_ratio_of_arriving_paths():
    grid = Grid(2, 2)  # tiles (0,0); (1,0), (1,1) with one way each; back to (2,0)
    k = np.asarray(layer_probabilities(grid, layer="forward"))
    assert k[0, 0, 1] == k[0, 0, 2] == k[1, 0, 1] == k[1, 1, 0] == 0.5
    k = np.asarray(layer_probabilities(GRID, layer="forward"))
    # Layer 2 leaves tiles with 2, 2, 1 ways by 2, 3, 3 cells.
    np.testing.assert_allclose(k[2, 0, 1:], 2 / 13, rtol=1e-6)
    np.testing.assert_allclose(k[2, 1], 2 / 13, rtol=1e-6)
    np.testing.assert_allclose(k[2, 2], 1 / 13, rtol=1e-6)


def test_two_paths_are_pairs_drawn_independently():
    grid = Grid(4, 3)
    paths = all_paths(grid)
    share = np.zeros(grid.mask.shape)
    for a in paths:
        for b in paths:
            for cell in {*path_cells(a), *path_cells(b)}:
                share[cell] += 1 / len(paths) ** 2
    np.testing.assert_allclose(layer_probabilities(grid, paths=2), share, rtol=1e-5)


@pytest.mark.parametrize("cell", ["longest", "serial"])
def test_eq_5_end_to_end_is_the_mean_over_all_paths(cell):
    w, t = weights(0), times(0)
    cell_ms = np.asarray(expected_cells(w["cells"], t, model=LatencyModel(cell=cell)), np.float64)
    mean = np.mean([serial_latency([path], cell_ms, fixed_ms=0.7) for path in PATHS])
    found = expected_latency(w, t, grid=GRID, model=LatencyModel(cell=cell))
    assert found.dtype == jnp.float32 and found.shape == ()
    assert float(found) == pytest.approx(mean, rel=1e-6)
    forward = expected_latency(w, t, grid=GRID, model=LatencyModel(cell=cell, layer="forward"))
    assert abs(float(forward) - mean) > 1e-4 * mean
    beta = expected_latency(w, t, grid=GRID, model=LatencyModel(cell=cell, layer="beta"))
    chances = np.exp([path_weight(path, w["betas"]) for path in PATHS])
    single = [serial_latency([path], cell_ms, fixed_ms=0.7) for path in PATHS]
    assert float(beta) == pytest.approx(np.dot(chances, single), rel=1e-5)


def test_only_the_beta_reading_moves_the_betas():
    w, t = jax.tree.map(jnp.float32, weights(1)), times(1)
    for layer in LAYER_PROBABILITIES:
        model = LatencyModel(layer=layer)
        gradient = jax.jit(jax.grad(lambda w, m=model: expected_latency(w, t, grid=GRID, model=m)))
        g = gradient(w)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(g))  # NaN in the table
        assert np.asarray(g["betas"]).any() == (layer == "beta")
        assert all(np.asarray(table).any() for table in g["cells"].values())


def test_a_live_cell_without_a_time_shows():
    t = times(0)
    t.scaling_ms[1, 1] = np.nan
    assert np.isnan(expected_latency(weights(0), t, grid=GRID))


def test_derived_cells_add_the_end_of_the_cell():
    kept = np.zeros((6, 4), bool)
    kept[[0, 1, 3], [1, 2, 0]] = True
    t = times(2)
    found = derived_cells(dict.fromkeys(CELL_TYPES, kept), t)
    expected = t.op_ms[:, 1] + t.op_ms[:, 2] + t.op_ms[:, 0] + t.scaling_ms
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_names_of_the_model():
    with pytest.raises(ValueError, match="layer is 'backward'; expected one of end_to_end"):
        LatencyModel(layer="backward")
    with pytest.raises(ValueError, match="paths is 0"):
        LatencyModel(paths=0)


@pytest.mark.parametrize("name", SPACES)
def test_spaces_without_a_grid(name):
    """Every edge weighs 1, so a serial cell is the mean operation of every edge, summed."""
    space = SPACES[name]
    rng = np.random.default_rng(0)
    op_ms = rng.uniform(0, 2, len(space.operations))
    edges = cell_edges(3, 2)
    alphas = {c: jnp.asarray(rng.normal(size=(len(edges), len(op_ms)))) for c in space.cells}
    w = edge_weights(alphas)
    for model in (LatencyModel(cell="serial"), LatencyModel(cell="serial", edge="conditional")):
        found = expected_stack_latency(w, op_ms, cells=15, fixed_ms=2.0, model=model)
        expected = 2.0 + 15 * sum(float((np.asarray(t) @ op_ms).sum()) for t in w.values())
        assert float(found) == pytest.approx(expected, rel=1e-5)
    parallel = expected_stack_latency(w, op_ms, cells=15, fixed_ms=2.0)
    assert 2.0 < float(parallel) < expected


def search(objective, steps=300):
    """Gradient descent on the logits of a toy: a slow operation has the slightly smaller loss."""
    op_ms = jnp.tile(jnp.array([0.2, 3.0, 0.5]), (4, 1))
    op_loss = jnp.array([1.0, 0.9, 1.5])
    t = OperationTimes(op_ms, jnp.zeros((3, 4)), 0.0)
    betas = random_betas(0, GRID)
    nodes = jnp.array([0, 1, 1, 2, 2, 2])

    def loss(logits):
        flat = jnp.exp(logits - logits.max())
        sums = jax.ops.segment_sum(flat.sum(-1), nodes, 3)
        cells = dict.fromkeys(CELL_TYPES, flat / sums[nodes][:, None])
        accuracy = (cells["keep"] @ op_loss).sum() / 3
        latency = expected_latency({"cells": cells, "betas": betas}, t, grid=GRID)
        return accuracy if objective is None else latency_loss(accuracy, latency, objective)[0]

    tx = optax.adam(0.1)
    logits = jnp.zeros((6, 3))
    state = tx.init(logits)

    @jax.jit
    def step(logits, state):
        value, gradient = jax.value_and_grad(loss)(logits)
        updates, state = tx.update(gradient, state)
        return optax.apply_updates(logits, updates), state, value

    for _ in range(steps):
        logits, state, value = step(logits, state)
    assert np.isfinite(value)
    return {int(op) for op in logits[jnp.array([0, 1, 3])].argmax(-1)}


def test_the_latency_term_changes_what_is_found():
    assert search(None) == {1}  # the slow one
    for mode in ("stable", "bound", "add_linear", "mul_log"):
        assert search(LatencyObjective(mode=mode, budget_ms=8.0)) == {0}, mode


def test_a_budget_that_does_not_bind_changes_nothing_without_the_product():
    assert search(LatencyObjective(mode="bound", budget_ms=200.0)) == {1}
    # The product of Eq. 2 always prefers what is 15 times as fast to what is 10 % better.
    assert search(LatencyObjective(mode="stable", budget_ms=200.0)) == {0}

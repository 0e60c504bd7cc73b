"""Candidates and the three plans of a mixed edge."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core import trees
from jaxnas.ops.candidates import CSMRI_A, CSMRI_B, OPERATIONS, Operation, dilate
from jaxnas.ops.conv import conv2d
from jaxnas.ops.mixed import PLANS, MixedEdge, MixedNodes, edges, mix

SPACES = {"csmri_a": CSMRI_A, "csmri_b": CSMRI_B}


def largest_difference(a, b):
    """max |a - b| over max |b|, the worst leaf of two trees."""
    return max(
        float(jnp.abs(p - q).max() / (jnp.abs(q).max() + 1e-30))
        for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


@pytest.mark.parametrize(
    ("operation", "count"),
    [
        ("sep_conv_3x3", 1312),
        ("dil_2_conv_3x3", 1312),
        ("dil_3_conv_3x3", 1312),
        ("conv_9x1_1x9", 576),
        ("skip_connect", 0),
        ("none", 0),
    ],
)
def test_parameter_counts_at_32_channels(operation, count, key):
    variables = Operation(operation).init(key, jnp.ones((1, 4, 4, 32)))
    assert trees.count(variables) == count


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_candidate_is_relu_then_its_dense_kernel(operation, key):
    x = jax.random.normal(key, (2, 11, 10, 4))
    y, variables = Operation(operation).init_with_output(key, x)
    dense = OPERATIONS[operation].dense(variables["params"])
    np.testing.assert_allclose(y, conv2d(jax.nn.relu(x), dense), atol=1e-5)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_scaled_kernels_scale_the_map(operation, key):
    x = jax.random.normal(key, (1, 8, 8, 4))
    candidate = OPERATIONS[operation]
    kernels = Operation(operation).init(key, x)["params"]
    scaled = candidate.scale(kernels, jnp.float32(0.3))
    np.testing.assert_allclose(
        candidate.apply(x, scaled), 0.3 * candidate.apply(x, kernels), atol=1e-5
    )


def test_skip_has_no_relu_and_none_is_zero(key):
    x = jax.random.normal(key, (1, 4, 4, 3))
    np.testing.assert_array_equal(Operation("skip_connect").apply({}, x), x)
    np.testing.assert_array_equal(Operation("none").apply({}, x), jnp.zeros_like(x))


def test_dilate_spreads_the_taps():
    spread = dilate(jnp.arange(1.0, 10).reshape(3, 3, 1), 3)
    assert spread.shape == (7, 7, 1)
    np.testing.assert_array_equal(spread[::3, ::3, 0], jnp.arange(1.0, 10).reshape(3, 3))
    assert (spread != 0).sum() == 9


def nodes_loss(space, plan):
    """A loss (params, weights, x) of a cell of two nodes."""
    cell = MixedNodes(SPACES[space], 2, plan=plan)

    def loss(params, weights, x):
        states = cell.apply(params, (x, 0.5 - x), weights)
        return sum(jnp.sin(s).sum() for s in states)

    return cell, loss


def setting(space, plan, dtype):
    """The cell's loss and (params, weights, x) for it, equal for all plans."""
    cell, loss = nodes_loss(space, plan)
    x = jax.random.normal(jax.random.key(1), (1, 10, 9, 4), dtype)
    weights = jax.nn.softmax(jax.random.normal(jax.random.key(2), (5, len(SPACES[space])), dtype))
    params = cell.init(jax.random.key(3), (x, x), weights)
    return loss, (jax.tree.map(lambda p: p.astype(dtype), params), weights, x)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("plan", [p for p in PLANS if p != "branch"])
def test_plans_agree_in_float64(space, plan):
    with jax.enable_x64(True):
        results = []
        for p in (plan, "branch"):
            loss, arguments = setting(space, p, jnp.float64)
            results.append(jax.jit(jax.value_and_grad(loss, (0, 1, 2)))(*arguments))
        assert largest_difference(*results) < 1e-11


@pytest.mark.parametrize("plan", PLANS)
def test_plans_agree_under_vmap_scan_and_remat(plan):
    """Two clients, each with its own kernels, take two rematerialised gradient steps in a scan."""

    def train(plan):
        loss, (params, weights, x) = setting("csmri_b", plan, jnp.float32)

        def client(scale):
            def step(params, _):
                gradient = jax.grad(jax.checkpoint(loss))(params, weights, scale * x)
                return jax.tree.map(lambda p, g: p - 1e-3 * g, params, gradient), None

            start = jax.tree.map(lambda p: scale * p, params)
            return jax.lax.scan(step, start, length=2)[0]

        return jax.jit(jax.vmap(client))(jnp.array([1.0, 0.7]))

    assert largest_difference(train(plan), train("branch")) < 1e-5


@pytest.mark.parametrize("plan", PLANS)
def test_one_parameter_tree_for_all_plans(plan, key):
    inputs = (jnp.ones((1, 4, 4, 2)), jnp.ones((1, 4, 4, 2)))
    cells = [MixedNodes(CSMRI_A, 3, plan=p) for p in (plan, "branch")]
    trees_ = [cell.init(key, inputs, jnp.ones((9, 5))) for cell in cells]
    assert jax.tree.structure(trees_[0]) == jax.tree.structure(trees_[1])
    assert largest_difference(*trees_) == 0
    assert sorted(trees_[0]["params"]) == sorted(f"edge{i}_{j}" for i, j in edges(3))


def test_a_cell_is_the_sum_of_its_edges(key):
    """`MixedNodes` and `MixedEdge` share names, so one can read the other's parameters."""
    x = jax.random.normal(key, (1, 7, 6, 3))
    weights = jax.nn.softmax(jax.random.normal(key, (5, 5)))
    (first, second), variables = MixedNodes(CSMRI_A, 2).init_with_output(key, (x, -x), weights)
    states = [x, -x, first]
    expected = sum(
        MixedEdge(CSMRI_A).apply({"params": variables["params"][f"edge1_{j}"]}, s, weights[2 + j])
        for j, s in enumerate(states)
    )
    np.testing.assert_allclose(second, expected, atol=1e-5)


@pytest.mark.parametrize("plan", PLANS)
def test_one_hot_weights_choose_one_operation(plan, key):
    x = jax.random.normal(key, (1, 8, 8, 3))
    edge = MixedEdge(CSMRI_A, plan=plan)
    variables = edge.init(key, x, jnp.ones(5))
    for o, operation in enumerate(CSMRI_A):
        params = {"params": variables["params"].get(operation, {})}
        expected = Operation(operation).apply(params, x)
        np.testing.assert_allclose(edge.apply(variables, x, jnp.eye(5)[o]), expected, atol=1e-5)


@pytest.mark.parametrize("plan", PLANS)
def test_an_edge_without_convolutions_is_a_weighted_skip(plan, key):
    x = jax.random.normal(key, (1, 4, 4, 3))
    edge = MixedEdge(("none", "skip_connect"), plan=plan)
    y, variables = edge.init_with_output(key, x, jnp.array([0.25, 0.75]))
    assert not variables
    np.testing.assert_allclose(y, 0.75 * x, rtol=1e-6)


def test_bfloat16_cell_keeps_float32_parameters(key):
    inputs = (jnp.ones((1, 4, 4, 2)), jnp.ones((1, 4, 4, 2)))
    cell = MixedNodes(CSMRI_B, 1, dtype=jnp.bfloat16)
    (y,), variables = cell.init_with_output(key, inputs, jnp.ones((2, 5)))
    assert y.dtype == jnp.bfloat16
    assert {p.dtype for p in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}


def test_wrong_names_shapes_and_plans_are_refused(key):
    x = jnp.ones((1, 4, 4, 2))
    with pytest.raises(ValueError, match="distinct names"):
        MixedEdge(("sep_conv_3x3", "nonsense")).init(key, x, jnp.ones(2))
    with pytest.raises(ValueError, match=r"\(2, 5\), found \(3, 5\)"):
        MixedNodes(CSMRI_A, 1).init(key, (x, x), jnp.ones((3, 5)))
    with pytest.raises(ValueError, match="plan"):
        mix(x, [{}], jnp.ones((1, 1)), operations=("none",), plan="fastest")

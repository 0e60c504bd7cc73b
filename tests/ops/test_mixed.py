"""The three plans of a mixed edge."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.ops.candidates import (
    CSMRI_A_OPERATIONS,
    CSMRI_B_OPERATIONS,
    FEDAUTOMRI_OPERATIONS,
    OPERATIONS,
    Operation,
)
from jaxnas.ops.mixed import PLANS, MixedNodes, edges, mix
from tests.models.params import numpy_params

SPACES = {
    "csmri_a": CSMRI_A_OPERATIONS,
    "csmri_b": CSMRI_B_OPERATIONS,
    "fedautomri": FEDAUTOMRI_OPERATIONS,
}


def largest_difference(a, b):
    """max |a - b| over max |b|, the worst leaf of two trees."""
    return max(
        float(jnp.abs(p - q).max() / (jnp.abs(q).max() + 1e-30))
        for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


def nodes_loss(operations, plan):
    """A loss (params, weights, x) of a cell of two nodes on one input, which two edges leave."""
    cell = MixedNodes(operations, 2, plan=plan)

    def loss(params, weights, x):
        states = cell.apply(params, (x,), weights)
        return sum(jnp.sin(s).sum() for s in states)

    return cell, loss


def setting(operations, plan, dtype):
    """The cell's loss and (params, weights, x) for it, equal for all plans."""
    cell, loss = nodes_loss(operations, plan)
    x = jax.random.normal(jax.random.key(1), (1, 10, 9, 4), dtype)
    weights = jax.nn.softmax(jax.random.normal(jax.random.key(2), (3, len(operations)), dtype))
    params = numpy_params(cell, (x,), weights)
    return loss, (jax.tree.map(lambda p: jnp.asarray(p, dtype), params), weights, x)


@pytest.mark.parametrize("space", SPACES)
def test_plans_agree_in_float64(space):
    with jax.enable_x64(True):
        results = {}
        for plan in PLANS:
            loss, arguments = setting(SPACES[space], plan, jnp.float64)
            results[plan] = jax.jit(jax.value_and_grad(loss, (0, 1, 2)))(*arguments)
        for plan in PLANS:
            assert largest_difference(results[plan], results["branch"]) < 1e-11


@pytest.mark.parametrize("space", SPACES)
def test_plans_agree_under_vmap_scan_and_remat_in_float64(space):
    """Two edges that leave one state. Two clients with kernels, weights and images of their own
    take two steps in a loop, on gradients that compute the mixture again: losses and gradients."""
    operations = SPACES[space]

    def transformed(plan):
        key = jax.random.key(4)
        x = jax.random.normal(key, (1, 8, 7, 3), jnp.float64)
        weights = jax.nn.softmax(jax.random.normal(key, (2, len(operations)), jnp.float64))
        params = [
            {
                o: {
                    name: 0.3 * jax.random.normal(jax.random.fold_in(key, i), spec.shape)
                    for name, spec in OPERATIONS[o].specs(3).items()
                }
                for o in operations
                if o in OPERATIONS
            }
            for i in range(2)
        ]

        @jax.checkpoint
        def loss(params, weights, x):
            first, second = mix(x, params, weights, operations=operations, plan=plan)
            return (jnp.sin(first) * second).sum()

        def client(scale):
            def step(params, _):
                found = jax.value_and_grad(loss, (0, 1, 2))(params, scale * weights, scale + x)
                moved = jax.tree.map(lambda p, g: p - 1e-3 * g, params, found[1][0])
                return moved, found

            start = jax.tree.map(lambda p: scale * p, params)
            return jax.lax.scan(step, start, length=2)

        return jax.jit(jax.vmap(client))(jnp.array([1.0, 0.7], jnp.float64))

    with jax.enable_x64(True):
        found = {plan: transformed(plan) for plan in PLANS}
        for plan in PLANS:
            assert largest_difference(found[plan], found["branch"]) < 1e-11, plan


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("space", SPACES)
def test_one_parameter_tree_for_all_plans(space, plan, key):
    inputs = (jnp.ones((1, 4, 4, 2)), jnp.ones((1, 4, 4, 2)))
    cells = [MixedNodes(SPACES[space], 2, plan=p) for p in (plan, "branch")]
    weights = jnp.ones((5, len(SPACES[space])))
    trees_ = [cell.init(key, inputs, weights) for cell in cells]
    assert jax.tree.structure(trees_[0]) == jax.tree.structure(trees_[1])
    assert largest_difference(*trees_) == 0
    assert sorted(trees_[0]["params"]) == sorted(f"edge{i}_{j}" for i, j in edges(2))


def test_a_cell_is_the_sum_of_its_edges(key):
    x = jax.random.normal(key, (1, 7, 6, 3))
    weights = jax.nn.softmax(jax.random.normal(key, (5, 5)))
    (first, second), variables = MixedNodes(CSMRI_A_OPERATIONS, 2).init_with_output(
        key, (x, -x), weights
    )
    states = [x, -x, first]
    arriving = []
    for j, state in enumerate(states):
        kernels, row = [variables["params"][f"edge1_{j}"]], weights[2 + j, None]
        arriving += mix(state, kernels, row, operations=CSMRI_A_OPERATIONS, plan="stack")
    np.testing.assert_allclose(second, sum(arriving), atol=1e-5)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("space", SPACES)
def test_one_hot_weights_choose_one_operation(space, plan, key):
    x = jax.random.normal(key, (1, 8, 8, 3))
    operations = SPACES[space]
    edge = MixedNodes(operations, 1, plan=plan)
    variables = edge.init(key, (x,), jnp.ones((1, len(operations))))
    for operation, one in zip(operations, jnp.eye(len(operations))):
        params = {"params": variables["params"]["edge0_0"].get(operation, {})}
        expected = Operation(operation).apply(params, x)
        (y,) = edge.apply(variables, (x,), one[None])
        np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.parametrize("plan", PLANS)
def test_an_edge_without_convolutions_is_a_weighted_skip(plan, key):
    x = jax.random.normal(key, (1, 4, 4, 3))
    edge = MixedNodes(("none", "skip_connect"), 1, plan=plan)
    (y,), variables = edge.init_with_output(key, (x,), jnp.array([[0.25, 0.75]]))
    assert not variables
    np.testing.assert_allclose(y, 0.75 * x, rtol=1e-6)


def test_bfloat16_cell_keeps_float32_parameters(key):
    inputs = (jnp.ones((1, 4, 4, 2)), jnp.ones((1, 4, 4, 2)))
    cell = MixedNodes(CSMRI_B_OPERATIONS, 1, dtype=jnp.bfloat16)
    (y,), variables = cell.init_with_output(key, inputs, jnp.ones((2, 5)))
    assert y.dtype == jnp.bfloat16
    assert {p.dtype for p in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}


def test_wrong_names_shapes_and_plans_are_refused(key):
    x = jnp.ones((1, 4, 4, 2))
    with pytest.raises(ValueError, match="distinct names"):
        MixedNodes(("sep_conv_3x3", "nonsense"), 1).init(key, (x,), jnp.ones((1, 2)))
    with pytest.raises(ValueError, match=r"\(2, 5\), found \(3, 5\)"):
        MixedNodes(CSMRI_A_OPERATIONS, 1).init(key, (x, x), jnp.ones((3, 5)))
    with pytest.raises(ValueError, match="plan"):
        mix(x, [{}], jnp.ones((1, 1)), operations=("none",), plan="fastest")

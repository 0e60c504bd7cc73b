"""What a search is for is one function beside the loss: its gradient, in every bilevel step."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnas.core.trees import global_norm
from jaxnas.search.darts import make_first_order_step, make_second_order_step
from jaxnas.search.milenas import make_milenas_step
from jaxnas.search.moves import accuracy, init_search_state, objective_gradient
from jaxnas.search.objective import LatencyObjective, latency_loss

MS = jnp.array([1.0, 6.0, 9.0])
STEPS = {
    "first": make_first_order_step,
    "second": partial(make_second_order_step, xi=lambda step: 0.1),
    "alpha_first": partial(make_milenas_step, update="alpha_first"),
    "simultaneous": partial(make_milenas_step, update="simultaneous"),
}


def loss(params, alphas, batch, key):
    del key
    mixture = jax.nn.softmax(alphas) @ jnp.sin(params * batch)
    return (mixture - 1.0) ** 2


def bounded(value, alphas):
    """Eq. 2 on the expected latency of three operations."""
    objective = LatencyObjective(budget_ms=4.0)
    return latency_loss(value, jax.nn.softmax(alphas) @ MS, objective)[0]


def test_gradient_is_that_of_the_composition(key):
    params, alphas = jax.random.normal(key, (2, 3))
    batch = jnp.arange(1.0, 4.0)
    value, gradient = jax.value_and_grad(loss, argnums=1)(params, alphas, batch, None)
    found = objective_gradient(bounded, value, gradient, alphas)
    whole = jax.grad(lambda a: bounded(loss(params, a, batch, None), a))(alphas)
    np.testing.assert_allclose(found, whole, rtol=1e-5)
    assert global_norm(found - gradient) > 0.1
    np.testing.assert_array_equal(objective_gradient(accuracy, value, gradient, alphas), gradient)


@pytest.mark.parametrize("name", STEPS)
def test_latency_changes_the_operation_that_wins(key, name):
    """The slow operations win without a budget; under one the fast one does. Weights never see it:
    their first move is the same."""
    params = jax.random.normal(key, (3,))
    batch = {half: jnp.array([0.1, 2.0, 2.0]) for half in ("train", "valid")}

    def run(objective, steps):
        txs = optax.sgd(0.0 if steps > 1 else 0.1), optax.sgd(0.1)
        step = jax.jit(STEPS[name](loss, *txs, objective=objective))
        state = init_search_state(key, jnp.ones_like(params), jnp.zeros(3), *txs)
        for _ in range(steps):
            state, _ = step(state, batch)
        return state

    assert run(accuracy, 300).alphas.argmax() > 0
    assert run(bounded, 300).alphas.argmax() == 0
    if name != "alpha_first":  # there ω moves after α
        np.testing.assert_array_equal(run(accuracy, 1).params, run(bounded, 1).params)

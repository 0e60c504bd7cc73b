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
from jaxnas.search.objective import LATENCY_OBJECTIVES, LatencyObjective, latency_loss

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


def penalty(latency, objective):
    return latency_loss(0.0, latency, objective)[0]


@pytest.mark.parametrize(
    ("latency", "value"),
    [(49.0, 0.3679), (50.0, 1.0), (53.0, 20.0855), (54.0, 40.1711), (140.0, 1767.5)],
)
def test_values_of_the_stable_penalty(latency, value):
    assert float(penalty(latency, LatencyObjective())) == pytest.approx(value, rel=1e-4)


def test_the_stable_penalty_is_smooth_at_the_knee_and_linear_above():
    slope = jax.vmap(jax.grad(lambda x: penalty(x, LatencyObjective())))
    below, at, above, far = slope(jnp.array([52.999, 53.0, 53.001, 1e4]))
    assert float(below) == pytest.approx(float(above), rel=2e-3)
    for value in (at, above, far):
        assert float(value) == pytest.approx(20.0855, rel=1e-4)


def test_stable_is_eq_2_below_the_knee():
    latency = jnp.linspace(30.0, 53.0, 24)
    stable, literal = LatencyObjective(weight=3.0), LatencyObjective(mode="exp", weight=3.0)
    np.testing.assert_allclose(
        jax.vmap(lambda x: penalty(x, stable))(latency),
        jax.vmap(lambda x: penalty(x, literal))(latency),
        rtol=1e-5,
    )


def test_the_literal_overflows_where_the_stable_does_not():
    assert np.isinf(penalty(139.0, LatencyObjective(mode="exp")))
    value, slope = jax.value_and_grad(lambda x: penalty(x, LatencyObjective()))(1e6)
    assert np.isfinite(value) and np.isfinite(slope)


def test_bound_is_stable_without_the_product():
    stable, bound = LatencyObjective(weight=2.0), LatencyObjective(mode="bound", weight=2.0)
    for latency in (40.0, 51.0, 90.0):
        assert float(penalty(latency, stable)) == float(penalty(latency, bound))
        with_product, without = (latency_loss(3.0, latency, o)[0] for o in (stable, bound))
        assert float(with_product - without) == pytest.approx(3 * (latency / 50 - 1), abs=1e-3)


def test_the_other_fields():
    """2 ms above, τ = 2 ms: z = 1; the factor is measured against its own reference."""
    objective = LatencyObjective(budget_ms=8.0, reference_ms=5.0, tau_ms=2.0, weight=0.5)
    total, terms = latency_loss(3.0, 10.0, objective)
    assert float(terms["latency_factor"]) == pytest.approx(2.0)
    assert float(terms["latency_penalty"]) == pytest.approx(0.5 * np.e, rel=1e-6)
    assert float(total) == pytest.approx(6.0 + 0.5 * np.e, rel=1e-6)


def test_regularisers():
    linear = LatencyObjective(mode="add_linear", budget_ms=20.0, weight=0.1)
    assert float(latency_loss(2.0, 30.0, linear)[0]) == pytest.approx(2.0 + 0.1 * 0.5)
    log = LatencyObjective(mode="mul_log", budget_ms=20.0, weight=0.2, exponent=0.3)
    expected = 2.0 * 0.2 * (np.log(5e2) / np.log(2e4)) ** 0.3
    assert float(latency_loss(2.0, 0.5, log)[0]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("mode", LATENCY_OBJECTIVES)
def test_total_is_made_of_its_terms_and_grows_with_latency(mode):
    objective = LatencyObjective(mode=mode, budget_ms=10.0)
    totals = []
    for latency in (5.0, 9.0, 12.0):
        total, terms = jax.jit(lambda a, l: latency_loss(a, l, objective))(1.5, latency)
        parts = terms["accuracy_loss"] * terms["latency_factor"] + terms["latency_penalty"]
        assert total.dtype == jnp.float32 and float(total) == float(parts)
        assert float(terms["latency_ms"]) == latency
        totals.append(float(total))
    assert totals == sorted(totals) and totals[0] < totals[-1]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mode": "soft"}, "mode is 'soft'; expected one of stable, bound, exp"),
        ({"budget_ms": 0.0}, "budget_ms is 0.0"),
        ({"tau_ms": -1.0}, "tau_ms is -1.0"),
        ({"reference_ms": 0.0}, "reference is 0.0"),
        ({"budget_ms": float("nan")}, "budget_ms is nan"),
    ],
)
def test_impossible_objectives(fields, message):
    with pytest.raises(ValueError, match=message):
        LatencyObjective(**fields)

"""The train step is pure, counts its steps and draws from (key, step) alone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnas.engine.step import init_train_state, make_train_step

TX = optax.sgd(0.5)


def loss(params, batch, key):
    """A loss whose randomness shows in its metric."""
    return jnp.sum((params - batch) ** 2), {"draw": jax.random.uniform(key)}


def test_one_step_of_gradient_descent(key):
    state = init_train_state(key, jnp.array([3.0]), TX)
    assert state.step.dtype == jnp.int32 and not state.step.weak_type
    new, metrics = make_train_step(loss, TX)(state, jnp.array([1.0]))
    np.testing.assert_allclose(new.params, [1.0])
    assert new.step == 1
    assert list(metrics) == ["loss", "draw", "grad_norm"]
    np.testing.assert_allclose([metrics["loss"], metrics["grad_norm"]], [4.0, 4.0])


def test_randomness_is_a_function_of_key_and_step(key):
    step = jax.jit(make_train_step(loss, TX))
    state = init_train_state(key, jnp.zeros(1), TX)
    draws = []
    for _ in range(3):
        state, metrics = step(state, jnp.ones(1))
        draws.append(float(metrics["draw"]))
    assert len(set(draws)) == 3
    rewound = state.replace(step=jnp.int32(1))
    assert float(step(rewound, jnp.ones(1))[1]["draw"]) == draws[1]


def test_states_of_equal_shape_are_the_same_pytree(key):
    a, b = (init_train_state(key, jnp.zeros(1), optax.sgd(0.5)) for _ in range(2))
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(lambda x, y: jnp.stack([x, y]), a, b)

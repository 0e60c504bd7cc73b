import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnas.search.darts import make_first_order_step, make_second_order_step
from jaxnas.search.moves import init_search_state

PARAMS = {"w": jnp.array([0.7, -0.4]), "b": jnp.array(0.3)}
ALPHAS = {"normal": jnp.array([0.2, -0.5])}
BATCH = {"train": jnp.array([1.0, 2.0, -1.0]), "valid": jnp.array([0.5, -1.5, 2.0])}
RATE, ALPHA_RATE, XI = 0.1, 0.05, 0.07
FAR = 3  # a step in the middle of a schedule


def xi(step):
    """How far a step looks ahead: less at every one, XI at step FAR."""
    return XI * (1.0 + 0.5 * (FAR - step))


def loss(params, alphas, batch, key):
    """Smooth in both, with mixed second derivatives that do not vanish."""
    del key
    mixture = jax.nn.softmax(alphas["normal"])
    prediction = jnp.tanh(batch * (params["w"] * mixture).sum() + params["b"] * mixture[0])
    return jnp.mean((prediction - jnp.sin(batch)) ** 2) + 0.1 * (params["w"] ** 2 @ mixture)


def advance(make, *, step=0, **options):
    w_tx, a_tx = optax.sgd(RATE), optax.sgd(ALPHA_RATE)
    state = init_search_state(jax.random.key(0), PARAMS, ALPHAS, w_tx, a_tx)
    state = state.replace(step=jnp.int32(step))
    return jax.jit(make(loss, w_tx, a_tx, **options))(state, BATCH)


def unrolled_objective(alphas, params):
    """L_valid(ω − ξ ∇_ω L_train(ω, α), α) as a plain function of α."""
    gradient = jax.grad(loss)(params, alphas, BATCH["train"], None)
    ahead = jax.tree.map(lambda w, g: w - XI * g, params, gradient)
    return loss(ahead, alphas, BATCH["valid"], None)


def after_weights(params):
    gradient = jax.grad(loss)(params, ALPHAS, BATCH["train"], None)
    return jax.tree.map(lambda w, g: w - RATE * g, params, gradient)


def test_first_order_moves_weights_then_alphas():
    state, metrics = advance(make_first_order_step)
    params = after_weights(PARAMS)
    g_a = jax.grad(loss, argnums=1)(params, ALPHAS, BATCH["valid"], None)
    np.testing.assert_allclose(state.params["w"], params["w"], rtol=1e-5)
    np.testing.assert_allclose(
        state.alphas["normal"], ALPHAS["normal"] - ALPHA_RATE * g_a["normal"], rtol=1e-5
    )
    np.testing.assert_allclose(
        metrics["train_loss"], loss(PARAMS, ALPHAS, BATCH["train"], None), rtol=1e-5
    )
    assert int(state.step) == 1


def test_second_order_is_the_gradient_of_the_unrolled_objective():
    state, _ = advance(make_second_order_step, xi=xi, step=FAR)
    exact = jax.grad(unrolled_objective)(ALPHAS, after_weights(PARAMS))["normal"]
    moved = (ALPHAS["normal"] - state.alphas["normal"]) / ALPHA_RATE
    np.testing.assert_allclose(moved, exact, rtol=1e-3, atol=1e-6)


def test_second_order_against_finite_differences():
    with jax.enable_x64(True):
        params, alphas, batch = jax.tree.map(
            lambda x: jnp.asarray(x, jnp.float64), (after_weights(PARAMS), ALPHAS, BATCH)
        )
        del batch
        numeric = []
        for i in range(2):
            shift = jnp.zeros(2, jnp.float64).at[i].set(1e-5)
            up = unrolled_objective({"normal": alphas["normal"] + shift}, params)
            down = unrolled_objective({"normal": alphas["normal"] - shift}, params)
            numeric.append((up - down) / 2e-5)
        numeric = np.array(numeric)
    state, _ = advance(make_second_order_step, xi=xi, step=FAR)
    moved = (ALPHAS["normal"] - state.alphas["normal"]) / ALPHA_RATE
    np.testing.assert_allclose(moved, numeric, rtol=2e-3, atol=1e-5)
    early, _ = advance(make_second_order_step, xi=xi)
    assert not np.allclose(early.alphas["normal"], state.alphas["normal"], rtol=1e-5)


def test_second_order_without_unrolling_is_first_order():
    first, _ = advance(make_first_order_step)
    second, _ = advance(make_second_order_step, xi=lambda step: 0.0)
    np.testing.assert_allclose(first.alphas["normal"], second.alphas["normal"], rtol=1e-6)


@pytest.mark.parametrize(("step", "moves"), [(0, False), (1, True)])
def test_warmup_holds_alphas(step, moves):
    w_tx, a_tx = optax.sgd(RATE), optax.sgd(ALPHA_RATE)
    state = init_search_state(jax.random.key(0), PARAMS, ALPHAS, w_tx, a_tx)
    state = state.replace(step=jnp.int32(step))
    state, _ = make_first_order_step(loss, w_tx, a_tx, warmup=1)(state, BATCH)
    assert bool((state.alphas["normal"] != ALPHAS["normal"]).any()) is moves

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnas.core import rng
from jaxnas.engine.optim import make_optimizer
from jaxnas.engine.section import OptimConfig
from jaxnas.search.darts import make_first_order_step
from jaxnas.search.milenas import UPDATES, make_milenas_step
from jaxnas.search.moves import init_search_state

PARAMS = {"w": jnp.array([0.7, -0.4]), "b": jnp.array(0.3)}
ALPHAS = {"normal": jnp.array([0.2, -0.5])}
BATCHES = [
    {"train": jnp.array([1.0, 2.0, -1.0]) + t, "valid": jnp.array([0.5, -1.5, 2.0]) - 0.3 * t}
    for t in range(4)
]
W_RATE, A_RATE = 0.1, 0.05


def product(params, alphas, batch, key):
    """(w α − b)² / 2: ∇_w = α (w α − b), ∇_α = w (w α − b)."""
    del key
    return 0.5 * (params * alphas - batch) ** 2


def loss(params, alphas, batch, key):
    """Smooth, coupled and random: the key shifts the target as a mask would."""
    mixture = jax.nn.softmax(alphas["normal"])
    prediction = jnp.tanh(batch * (params["w"] * mixture).sum() + params["b"] * mixture[0])
    target = jnp.sin(batch + jax.random.normal(key))
    return jnp.mean((prediction - target) ** 2) + 0.1 * (params["w"] ** 2 @ mixture)


def quiet(params, alphas, batch, key):
    """The loss without its randomness."""
    del key
    return loss(params, alphas, batch, jax.random.key(0))


def start(w_tx, a_tx, params=PARAMS, alphas=ALPHAS):
    return init_search_state(jax.random.key(5), params, alphas, w_tx, a_tx)


def run(step, state, batches):
    """The states after every step."""
    states = []
    for batch in batches:
        state, _ = step(state, batch)
        states.append(state)
    return states


def assert_close(a, b, rtol=1e-6):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-7), a, b)


@pytest.mark.parametrize(("update", "weight"), [("alpha_first", 1.9145), ("simultaneous", 1.9)])
def test_one_step_by_hand(update, weight):
    """w = 2, α = 1, b = 1 and 3: ∇_α = 2 and −2, so α moves by 2 − ½ 2 = 1 times its rate."""
    w_tx, a_tx = optax.sgd(W_RATE), optax.sgd(A_RATE)
    state = start(w_tx, a_tx, jnp.float32(2.0), jnp.float32(1.0))
    step = make_milenas_step(product, w_tx, a_tx, w_train=1.0, w_val=0.5, update=update)
    state, metrics = step(state, {"train": jnp.float32(1.0), "valid": jnp.float32(3.0)})
    np.testing.assert_allclose(state.alphas, 0.95, rtol=1e-6)
    # Simultaneous: w = 2 − 0.1 · 1 (2 − 1); α first: w = 2 − 0.1 · 0.95 (1.9 − 1).
    np.testing.assert_allclose(state.params, weight, rtol=1e-6)
    np.testing.assert_allclose(metrics["valid_loss"], 0.5, rtol=1e-6)
    assert int(state.step) == 1


def test_it_finds_the_stationary_point_of_the_mixed_problem():
    """w α = b_train where the training loss rests, whatever the start."""
    w_tx, a_tx = optax.sgd(0.1), optax.sgd(0.1)
    step = jax.jit(make_milenas_step(product, w_tx, a_tx, w_val=0.0))
    batch = {"train": jnp.float32(2.0), "valid": jnp.float32(-7.0)}
    state = run(step, start(w_tx, a_tx, jnp.float32(0.5), jnp.float32(1.0)), [batch] * 200)[-1]
    np.testing.assert_allclose(state.params * state.alphas, 2.0, rtol=1e-5)


@pytest.mark.parametrize("update", UPDATES)
def test_equals_a_loop_written_out(update):
    """Adam, clipping and decay, four steps, the masks of a step the same in all of its passes."""
    w_tx = optax.chain(optax.clip_by_global_norm(0.1), optax.adam(1e-2))
    a_tx = optax.chain(optax.add_decayed_weights(1e-2), optax.adam(3e-2, b1=0.5))
    step = jax.jit(make_milenas_step(loss, w_tx, a_tx, w_train=0.7, w_val=1.3, update=update))
    states = run(step, start(w_tx, a_tx), BATCHES)

    w, a, w_opt, a_opt = PARAMS, ALPHAS, w_tx.init(PARAMS), a_tx.init(ALPHAS)
    for t, (batch, state) in enumerate(zip(BATCHES, states)):
        k_train, k_valid = (rng.stream(jax.random.key(5), name, t) for name in ("train", "valid"))
        g_w = jax.grad(loss)(w, a, batch["train"], k_train)
        g_a = jax.tree.map(
            lambda train, valid: 0.7 * train + 1.3 * valid,
            jax.grad(loss, argnums=1)(w, a, batch["train"], k_train),
            jax.grad(loss, argnums=1)(w, a, batch["valid"], k_valid),
        )
        updates, a_opt = a_tx.update(g_a, a_opt, a)
        a = optax.apply_updates(a, updates)
        if update == "alpha_first":
            g_w = jax.grad(loss)(w, a, batch["train"], k_train)
        updates, w_opt = w_tx.update(g_w, w_opt, w)
        w = optax.apply_updates(w, updates)
        assert_close((state.params, state.alphas), (w, a), rtol=2e-5)


def test_without_the_training_term_it_is_darts_one_move_ahead():
    """MiLeNAS: α₀ ω₀ α₁ ω₁ …, DARTS: ω₀ α₁ ω₁ α₂ …: the same moves in the same order.

    DARTS that starts after the move α₀, with validation batches one step early, has the weights of
    MiLeNAS after every step, and its alphas of the next step.
    """
    w_tx, a_tx = optax.adam(1e-2), optax.adam(3e-2)
    milenas = make_milenas_step(quiet, w_tx, a_tx, w_train=0.0)
    states = run(jax.jit(milenas), start(w_tx, a_tx), BATCHES)
    darts = jax.jit(make_first_order_step(quiet, w_tx, a_tx))
    ahead = start(w_tx, a_tx).replace(alphas=states[0].alphas, a_opt=states[0].a_opt)
    shifted = [
        {"train": now["train"], "valid": after["valid"]}
        for now, after in itertools.pairwise(BATCHES)
    ]
    for t, state in enumerate(run(darts, ahead, shifted)):
        assert_close(state.params, states[t].params)
        assert_close(state.alphas, states[t + 1].alphas)
    # And no less: from the same start the two differ.
    plain = run(darts, start(w_tx, a_tx), BATCHES)[-1]
    assert not np.allclose(plain.params["w"], states[-1].params["w"], rtol=1e-5)


@pytest.mark.parametrize(("update", "passes"), [("alpha_first", 3), ("simultaneous", 2)])
def test_backward_passes(update, passes):
    calls = []

    def counted(*arguments):
        calls.append(1)
        return loss(*arguments)

    tx = optax.sgd(0.1)
    jax.make_jaxpr(make_milenas_step(counted, tx, tx, update=update))(start(tx, tx), BATCHES[0])
    assert len(calls) == passes


def steep(params, alphas, batch, key):
    """Gradients of norm 50 for the weights and 500 for the alphas."""
    del batch, key
    return 50.0 * params["w"][0] + 500.0 * alphas["normal"][0]


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize(
    ("w_clip", "a_clip", "w_moved", "a_moved"),
    [(5.0, None, 0.5, 50.0), (None, 5.0, 5.0, 0.5), (5.0, 2.0, 0.5, 0.2), (None, None, 5.0, 50.0)],
)
def test_clipping_acts_on_the_gradient_it_is_configured_for(
    update, w_clip, a_clip, w_moved, a_moved
):
    """FedNAS clips the alphas' gradient after the weights' pass, and its weights step unclipped."""
    w_tx, a_tx = (
        make_optimizer(
            OptimConfig(name="sgd", momentum=0.0, rate=0.1, schedule="constant", clip=clip), 10
        )
        for clip in (w_clip, a_clip)
    )
    step = make_milenas_step(steep, w_tx, a_tx, w_train=0.5, w_val=0.5, update=update)
    state, metrics = step(start(w_tx, a_tx), BATCHES[0])
    np.testing.assert_allclose(PARAMS["w"][0] - state.params["w"][0], w_moved, rtol=1e-5)
    np.testing.assert_allclose(ALPHAS["normal"][0] - state.alphas["normal"][0], a_moved, rtol=1e-5)
    np.testing.assert_allclose(metrics["w_grad"], 50.0, rtol=1e-6)


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize(("number", "moves"), [(0, False), (1, True)])
def test_warmup_holds_alphas(update, number, moves):
    tx = optax.sgd(0.1)
    state = start(tx, tx).replace(step=jnp.int32(number))
    after, _ = make_milenas_step(loss, tx, tx, update=update, warmup=1)(state, BATCHES[0])
    assert bool((after.alphas["normal"] != ALPHAS["normal"]).any()) is moves
    assert bool((after.params["w"] != PARAMS["w"]).all())


def test_unknown_update_is_refused():
    tx = optax.sgd(0.1)
    with pytest.raises(ValueError, match=r"'alpha_first', 'simultaneous'.*'both'"):
        make_milenas_step(loss, tx, tx, update="both")

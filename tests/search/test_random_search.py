import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnas.search.moves import init_search_state
from jaxnas.search.random_search import make_random_step, rank_candidates


def sample(key):
    return {"normal": jax.nn.one_hot(jax.random.randint(key, (), 0, 4), 4)}


def loss(params, alphas, batch, key):
    del key
    return jnp.mean((params["w"] @ alphas["normal"] - batch) ** 2)


def test_weights_move_along_random_paths_and_alphas_stay(key):
    tx = optax.sgd(0.5)
    params = {"w": jnp.zeros(4)}
    state = init_search_state(key, params, {"normal": jnp.zeros(4)}, tx, tx)
    step = jax.jit(make_random_step(loss, tx, sample))
    batch = {"train": jnp.ones(2), "valid": jnp.ones(2)}
    touched = []
    for _ in range(40):
        before = state.params["w"]
        state, _ = step(state, batch)
        touched.append(np.flatnonzero(state.params["w"] != before))
    assert all(len(t) <= 1 for t in touched)
    assert {int(i) for t in touched for i in t} == {0, 1, 2, 3}
    np.testing.assert_array_equal(state.alphas["normal"], 0.0)


def test_ranking_finds_the_best_candidate(key):
    params = {"w": jnp.array([3.0, 1.0, 0.1, -2.0])}
    ranked = rank_candidates(key, loss, params, sample, [jnp.zeros(2)], candidates=30)
    values = [value for value, _ in ranked]
    assert values == sorted(values) and len(values) == 30
    assert int(ranked[0][1]["normal"].argmax()) == 2
    again = rank_candidates(key, loss, params, sample, [jnp.zeros(2)], candidates=30)
    assert [value for value, _ in again] == values

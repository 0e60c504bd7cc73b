"""What strategies add, share and keep."""

import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnas.core.errors import UserError
from jaxnas.core.trees import count
from jaxnas.fed.section import FedMRI, FedProx
from jaxnas.fed.state import Paths, leaf_paths, merge_trees, select
from jaxnas.fed.strategies import STRATEGIES, build_strategy
from jaxnas.models.registry import MODELS
from jaxnas.reconstruction.networks import init_variables
from jaxnas.spaces.section import NetworkConfig
from tests.fed import tiny

STEPS = [2, 1, 3]
ENCODER = FedMRI(strategy="fedmri", shared=("params/encoder/*",))


def normal(seed, *, stack=()):
    """A model of random leaves, `stack` in front."""
    rng = np.random.default_rng(seed)
    return {
        "params": {
            "encoder": {"a": rng.normal(size=(*stack, 2, 3)), "b": rng.normal(size=(*stack, 4))},
            "decoder": {"a": rng.normal(size=(*stack, 3))},
        }
    }


def test_paths():
    chosen = Paths(("params/*", "!*/tail/*", "!params/lam"))
    assert chosen("params/cascade0/stem/kernel")
    assert not chosen("params/cascade0/tail/kernel")
    assert not chosen("params/lam") and not chosen("alphas/normal")
    model = normal(0)
    encoder = Paths(("params/encoder/*",))
    parts = select(model, encoder), select(model, lambda path: not encoder(path))
    assert leaf_paths(parts[0]) == ["params/encoder/a", "params/encoder/b"]
    assert leaf_paths(parts[1]) == ["params/decoder/a"]
    tiny.assert_same(merge_trees(*parts), model)


def test_fedprox_gradient_is_mu_times_the_distance():
    mu = 0.37
    strategy = build_strategy(FedProx(strategy="fedprox", mu=mu))
    model, server = normal(1), normal(2)
    broadcast = strategy.send({}, server, jnp.int32(0))
    value, gradient = jax.value_and_grad(strategy.penalty)(model, {}, broadcast)
    distance = jax.tree.map(lambda w, s: w - s, model, server)
    tiny.assert_close(gradient, jax.tree.map(lambda d: mu * d, distance))
    want = mu / 2 * sum((d**2).sum() for d in jax.tree.leaves(distance))
    np.testing.assert_allclose(value, want, rtol=1e-6)


def test_fedprox_without_mu_is_fedavg():
    found, rows = tiny.run(tiny.federation(method=FedProx(strategy="fedprox", mu=0.0)), STEPS)
    want, _ = tiny.run(tiny.federation(), STEPS)
    tiny.assert_close(found.server, want.server)
    assert rows[1]["penalty"] == 0.0


def test_fedprox_holds_clients_back():
    def moved(mu):
        method = FedProx(strategy="fedprox", mu=mu)
        tx = optax.sgd(0.05)
        state, _ = tiny.run(tiny.federation(method=method, tx=tx), [6, 6, 6], rounds=1)
        steps = jax.tree.map(lambda a, b: np.abs(a - b).sum(), state.server, tiny.model())
        return sum(jax.tree.leaves(steps))

    assert moved(10.0) < 0.8 * moved(0.0)


def test_fedmri_term_by_hand():
    """Two clients, an encoder of two leaves: β |θ − θ_S| / Σ_k |θ − θ_k|."""
    strategy = build_strategy(ENCODER.model_copy(update={"beta": 50.0}))
    model = {"params": {"encoder": {"a": jnp.array([1.0, 2.0])}, "decoder": jnp.array(9.0)}}
    server = {"params": {"encoder": {"a": jnp.array([0.5, 2.5])}}}
    memory = {"params": {"encoder": {"a": jnp.array([[1.0, 0.0], [4.0, 2.0]])}}}

    def term(model, number):
        return strategy.penalty(model, {}, strategy.send(memory, server, jnp.int32(number)))

    value, gradient = jax.value_and_grad(term)(model, 1)
    # Σ |θ − θ_S| = 1, Σ_k Σ |θ − θ_k| = (0 + 2) + (3 + 0) = 5.
    np.testing.assert_allclose(value, 50.0 * 1 / 5, rtol=1e-6)
    # d/dθ: β (sign(θ − θ_S) · 5 − 1 · Σ_k sign(θ − θ_k)) / 25.
    signs = np.array([1.0, -1.0]), np.array([0.0 - 1.0, 1.0 + 0.0])
    want = 50.0 * (signs[0] * 5 - signs[1]) / 25
    np.testing.assert_allclose(gradient["params"]["encoder"]["a"], want, rtol=1e-6)
    assert gradient["params"]["decoder"] == 0.0
    # Nobody has sent anything before the first round.
    value, gradient = jax.value_and_grad(term)(model, 0)
    assert value == 0.0
    assert all((np.asarray(g) == 0).all() for g in jax.tree.leaves(gradient))


def test_fedmri_term_is_finite_where_all_encoders_agree():
    strategy = build_strategy(ENCODER)
    model = normal(3)
    encoder = select(model, strategy.shared)
    broadcast = strategy.send(strategy.init_server(encoder, 3), encoder, jnp.int32(1))
    value, gradient = jax.value_and_grad(strategy.penalty)(model, {}, broadcast)
    assert value == 0.0
    assert all((np.asarray(g) == 0).all() for g in jax.tree.leaves(gradient))


def test_fedmri_does_not_pull_a_client_that_is_where_the_server_is():
    strategy = build_strategy(ENCODER)
    model = normal(3)
    memory = select(normal(6, stack=(3,)), strategy.shared)
    broadcast = strategy.send(memory, select(model, strategy.shared), jnp.int32(1))
    gradient = jax.grad(strategy.penalty)(model, {}, broadcast)
    assert all((np.asarray(g) == 0).all() for g in jax.tree.leaves(gradient))


def test_nothing_flows_into_what_fedmri_compares_with():
    strategy = build_strategy(ENCODER)
    model, server = normal(4), select(normal(5), strategy.shared)
    memory = select(normal(6, stack=(3,)), strategy.shared)

    def term(server, memory):
        return strategy.penalty(model, {}, strategy.send(memory, server, jnp.int32(1)))

    gradient = jax.grad(term, argnums=(0, 1))(server, memory)
    assert all((np.asarray(g) == 0).all() for g in jax.tree.leaves(gradient))


def test_fedmri_remembers_what_clients_sent_and_leaves_decoders_alone():
    fed = tiny.federation(method=ENCODER)
    state, rows = tiny.run(fed, STEPS, rounds=1)
    alone, _ = tiny.run(tiny.federation(method=tiny.NON_FED), STEPS, rounds=1)
    assert rows[0]["penalty"] == 0.0
    encoder = {"params": {"encoder": alone.held["params"]["encoder"]}}
    tiny.assert_close(state.memory, encoder)
    tiny.assert_close(state.held["params"]["decoder"], alone.held["params"]["decoder"])
    weights = np.array([1, 2, 3]) / 6
    want = np.tensordot(weights, np.float64(encoder["params"]["encoder"]["kernel"]), 1)
    np.testing.assert_allclose(state.server["params"]["encoder"]["kernel"], want, atol=1e-6)
    assert leaf_paths(state.server) == ["params/encoder/kernel"]
    for client in range(3):
        model = fed.client_model(state, client)["params"]
        tiny.assert_same(model["encoder"], state.server["params"]["encoder"])
        tiny.assert_close(
            model["decoder"],
            jax.tree.map(lambda x, c=client: x[c], alone.held)["params"]["decoder"],
        )
    # From the second round on the term is there.
    _, readings = fed(state, tiny.Data(1, STEPS))
    assert readings.to_json()["penalty"] > 0.0


def test_non_fed_clients_train_as_if_they_were_alone():
    state, _ = tiny.run(tiny.federation(method=tiny.NON_FED, optimizer="keep"), STEPS)
    assert state.server == {}
    weights = [0, 1, 0]
    other, _ = tiny.run(
        tiny.federation(method=tiny.NON_FED, optimizer="keep", weights=weights), STEPS
    )
    tiny.assert_same(state.held, other.held)


@pytest.mark.parametrize("name", sorted({*STRATEGIES} - {"non_fed", "fedmri"}))
def test_what_is_shared_by_all_is_held_by_none(name):
    strategy = build_strategy(tiny.METHODS[name])
    assert strategy.shared("params/a") and strategy.shared("alphas/b")
    assert not strategy.held("params/a")


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_leaf_has_a_home_and_every_round_moves_it(name):
    fed = tiny.federation(method=tiny.METHODS[name])
    for path in leaf_paths(tiny.model()):
        assert fed.strategy.shared(path) or fed.strategy.held(path)
    state, _ = tiny.run(fed, STEPS)
    for client in range(3):
        moved = jax.tree.map(
            lambda a, b: bool((a != b).any()), fed.client_model(state, client), tiny.model()
        )
        assert all(jax.tree.leaves(moved))


STATES = {  # of every strategy: what the server remembers, and what clients hold
    "non_fed": (set(), {"decoder", "encoder"}),
    "fedavg": (set(), set()),
    "fedprox": (set(), set()),
    "fedmri": ({"encoder"}, {"decoder"}),
    "fedautomri": (set(), set()),
    "fedavgm": ({"velocity"}, set()),
    "fedadam": ({"first", "second"}, set()),
    "scaffold": ({"decoder", "encoder"}, {"own"}),
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_state_has_what_a_checkpoint_of_the_strategy_has(name):
    """No other field, not even an empty one: a checkpoint is restored by its whole structure."""
    fed = tiny.federation(method=tiny.METHODS[name], optimizer="reset")
    state = jax.eval_shape(fed.init, jax.random.key(0), tiny.model())
    fields = [field.name for field in dataclasses.fields(state)]
    assert fields == ["server", "memory", "held", "optim", "round", "key"]
    found = [{*tree.get("params", tree)} for tree in (state.memory, state.held)]
    assert tuple(found) == STATES[name] and state.optim == {}


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_agrees_however_it_is_computed(name):
    """Clients one by one, together, in chunks and on devices; some of them at a time."""
    options = {"method": tiny.METHODS[name], "participation": 0.7, "optimizer": "keep"}
    want, want_rows = tiny.run(tiny.federation(5, backend="loop", **options), [2, 3, 1, 3, 2])
    for way in ({"chunk": 2}, {"backend": "map"}, {"backend": "vmap", "devices": 4}):
        found, rows = tiny.run(tiny.federation(5, **way, **options), [2, 3, 1, 3, 2])
        tiny.assert_close(found, want, atol=2e-6)
        for row, other in zip(rows, want_rows, strict=True):
            assert row == pytest.approx(other, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", ["fedavgm", "fedadam", "scaffold"])
def test_a_client_that_is_dropped_leaves_no_trace_in_any_memory(name):
    """As if it had not been there: its weight is none, and what it holds stays."""
    options = {"method": tiny.METHODS[name], "weights": [1, 2, 1], "bad_update": "drop"}
    found, _ = tiny.run(tiny.federation(**options), STEPS, rounds=1, poison={(0, 1)})
    without, _ = tiny.run(tiny.federation(**(options | {"weights": [1, 0, 1]})), STEPS, rounds=1)
    tiny.assert_close(found.server, without.server)
    if name != "scaffold":
        tiny.assert_close(found.memory, without.memory)
        return
    # Half of all weight is in it, and there it was all.
    tiny.assert_close(found.memory, jax.tree.map(lambda c: 0.5 * c, without.memory))
    own = jax.device_get(found.held["own"])
    assert all((x[1] == 0).all() and (x[0] != 0).any() for x in jax.tree.leaves(own))


@pytest.mark.parametrize("name", MODELS)
def test_default_encoders(name):
    """U-nets share the way down, 4,709,664 + 288 (a second channel in) of the fastMRI U-net's
    parameters; the others everything but the last layers."""
    variables = jax.eval_shape(
        lambda: init_variables(
            jax.random.key(0), MODELS[name](NetworkConfig(lam=1.0, learn_lam=True))
        )
    )
    model = {"params": variables["params"]}
    strategy = build_strategy(FedMRI(strategy="fedmri", model=name))
    strategy.shared.check(leaf_paths(model))
    shared, local = count(select(model, strategy.shared)), count(select(model, strategy.held))
    assert shared + local == count(model)
    assert local > 0 and shared > 0.5 * count(model)
    if name == "fastmri_unet":
        assert shared == 4_709_664 + 288 and count(model) == 7_756_418


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (
            ("params/encodr/*",),
            r"shared: pattern 'params/encodr/\*' matches no parameter; .*encoder",
        ),
        (("!params/encoder/*",), r"shared: !params/encoder/\* leaves no parameter"),
        (("*/bias", "!*/decoder/*"), "leaves no parameter; expected patterns over paths such as"),
    ],
)
def test_patterns_that_share_nothing(patterns, message):
    fed = tiny.federation(method=FedMRI(strategy="fedmri", shared=patterns))
    with pytest.raises(UserError, match=message):
        fed.init(jax.random.key(0), tiny.model())


def test_an_unknown_strategy():
    with pytest.raises(ValueError, match="unknown strategy 'fedsgd'; expected one of non_fed"):
        build_strategy(SimpleNamespace(strategy="fedsgd"))

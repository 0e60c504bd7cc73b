"""SCAFFOLD against Algorithm 1 of its paper, written again in NumPy with float64."""

import jax
import numpy as np
import optax
import pytest

from jaxnas.engine.optim import make_optimizer, make_schedule
from jaxnas.engine.section import OptimConfig
from jaxnas.fed.program import training_program
from jaxnas.fed.section import Scaffold
from jaxnas.fed.strategies import build_strategy
from tests.fed import quadratics, tiny

STEPS, ROUNDS = [2, 3, 1, 3], 6
CONSTANT = OptimConfig(name="sgd", momentum=0.0, rate=0.1, schedule="constant")
COSINE = CONSTANT.model_copy(update={"schedule": "cosine", "warmup": 2})
EQUAL, UNEQUAL = [1.0] * 4, [1.0, 3.0, 2.0, 0.5]
SCAFFOLD = Scaffold(strategy="scaffold")


def algorithm(config, weights, *, server_rate, fraction):
    """(x, c, all c_i) after every round, option II; the mean over clients is that of `weights`."""
    total, share = ROUNDS * max(STEPS), np.array(weights) / np.sum(weights)
    rate = make_schedule(config, total)
    x, c, own, found = quadratics.START, np.zeros(3), np.zeros((4, 3)), []
    for number in range(ROUNDS):
        rates = np.float64([rate(number * max(STEPS) + k) for k in range(max(STEPS))])
        clients = quadratics.participants(number, 4, fraction)
        moves, changes = [], []
        for i in clients:
            y = quadratics.descend(x, i, number, STEPS[i], rates, correction=c - own[i])
            new = own[i] - c + (x - y) / rates[: STEPS[i]].sum()
            moves.append(y - x)
            changes.append(new - own[i])
            own[i] = new
        part = share[clients]
        x = x + server_rate * np.average(moves, axis=0, weights=part)
        c = c + part.sum() * np.average(changes, axis=0, weights=part)
        found.append((x, c, own.copy()))
    return found


@pytest.mark.parametrize("backend", ["vmap", "map", "loop"])
@pytest.mark.parametrize(
    ("config", "weights", "server_rate", "fraction"),
    [
        (CONSTANT, EQUAL, 1.0, 1.0),
        (CONSTANT, EQUAL, 1.0, 0.5),
        (COSINE, UNEQUAL, 0.6, 0.75),
    ],
    ids=["all", "some", "some, weights, schedule, server rate"],
)
def test_scaffold_is_its_algorithm(config, weights, server_rate, fraction, backend):
    total = ROUNDS * max(STEPS)
    states = quadratics.run(
        Scaffold(strategy="scaffold", server_rate=server_rate),
        STEPS,
        rounds=ROUNDS,
        schedule=make_schedule(config, total),
        tx=make_optimizer(config, total),
        weights=weights,
        participation=fraction,
        backend=backend,
    )
    want = algorithm(config, weights, server_rate=server_rate, fraction=fraction)
    for state, (x, c, own) in zip(states, want, strict=True):
        np.testing.assert_allclose(state.server["params"]["w"], x, rtol=1e-5, atol=2e-6)
        np.testing.assert_allclose(state.memory["params"]["w"], c, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(state.held["own"]["params"]["w"], own, rtol=1e-4, atol=1e-5)


def test_with_equal_weights_the_control_variate_is_that_of_the_paper():
    """c = 1/N Σ c_i, which |S|/N avg_S(Δc_i) keeps true whoever takes part."""
    for _, c, own in algorithm(CONSTANT, EQUAL, server_rate=1.0, fraction=0.5):
        np.testing.assert_allclose(c, own.mean(axis=0), atol=1e-12)


@pytest.mark.parametrize("backend", ["loop", "vmap"])
def test_one_client_alone_is_sgd(backend):
    """Its control variate is the server's own: every correction is 0."""
    options = {"backend": backend, "tx": tiny.SGD_TX}
    found, rows = tiny.run(tiny.federation(1, method=SCAFFOLD, **options), [3], rounds=3)
    want, want_rows = tiny.run(tiny.federation(1, **options), [3], rounds=3)
    tiny.assert_close(found.server, want.server, atol=1e-6)
    assert [row["penalty"] for row in rows] == pytest.approx([0.0] * 3, abs=1e-7)
    for row, other in zip(rows, want_rows, strict=True):
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-5)
    tiny.assert_close(found.memory, jax.tree.map(lambda x: x[0], found.held["own"]), atol=1e-5)


def test_scaffold_finds_the_optimum_of_all_where_fedavg_drifts():
    """Clients differ in curvature, minimum, steps and weight; Σ p_i a_i b_i / Σ p_i a_i is best."""
    rate, rounds = 0.1, 120

    def last(method):
        penalty = build_strategy(method).penalty
        program = training_program(
            quadratics.loss, optax.sgd(rate), penalty=penalty, rate=lambda step: rate
        )
        fed = tiny.federation(4, method=method, weights=UNEQUAL, program=program)
        start = {"params": {"w": np.float32(quadratics.START)}}
        state = fed.init(jax.random.key(0), start)
        for number in range(rounds):
            state, _ = fed(state, quadratics.Data(number, STEPS, noise=0.0))
        return np.asarray(state.server["params"]["w"])

    pulls = np.array([p * quadratics.curvature(i) for i, p in enumerate(UNEQUAL)])
    targets = [quadratics.target(i, 0, 0, noise=0.0) for i in range(4)]
    optimum = np.average(targets, axis=0, weights=pulls)
    np.testing.assert_allclose(last(SCAFFOLD), optimum, atol=1e-4)
    assert np.abs(last(tiny.FEDAVG) - optimum).max() > 0.05


def test_those_who_sit_out_keep_their_control_variates():
    fed = tiny.federation(5, method=SCAFFOLD, participation=0.4)
    state = fed.init(jax.random.key(11), tiny.model())
    for number in range(3):
        before = jax.device_get(state.held["own"])
        state, _ = fed(state, tiny.Data(number, [2] * 5))
        for leaf, old in zip(jax.tree.leaves(state.held["own"]), jax.tree.leaves(before)):
            moved = {c for c in range(5) if (np.asarray(leaf)[c] != old[c]).any()}
            assert moved == {*fed.participants(number)}


def test_the_learning_rates_must_be_known():
    program = training_program(tiny.loss, tiny.SGD_TX)
    with pytest.raises(ValueError, match="needs the learning rates of local steps"):
        tiny.federation(method=SCAFFOLD, program=program)

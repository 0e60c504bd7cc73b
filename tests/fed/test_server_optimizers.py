"""Momentum and Adam at the server, against their equations in float64 over several rounds."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnas.fed.section import FedAdam, FedAvg, FedAvgM
from jaxnas.fed.strategies import build_strategy
from jaxnas.fed.strategy import RoundAverage
from tests.fed import quadratics, tiny

STEPS, WEIGHTS, RATE, ROUNDS = [2, 3, 1], [1.0, 2.0, 1.0], 0.1, 6


def averages(update, *, fraction=1.0):
    """The server's model after every round; `update(x, avg)` is its own step, float64."""
    x, found = quadratics.START, []
    for number in range(ROUNDS):
        clients = quadratics.participants(number, len(STEPS), fraction)
        ys = [quadratics.descend(x, c, number, STEPS[c], np.full(STEPS[c], RATE)) for c in clients]
        x = update(x, np.average(ys, axis=0, weights=np.array(WEIGHTS)[clients]))
        found.append(x)
    return found


def run(method, **options):
    """The states of the same run by the library."""
    return quadratics.run(
        method,
        STEPS,
        rounds=ROUNDS,
        schedule=lambda step: RATE,
        tx=optax.sgd(RATE),
        weights=WEIGHTS,
        **options,
    )


@pytest.mark.parametrize("fraction", [1.0, 0.6])
@pytest.mark.parametrize(("momentum", "rate"), [(0.9, 1.0), (0.5, 0.3), (0.0, 0.7)])
def test_fedavgm_by_hand(momentum, rate, fraction):
    velocity = np.zeros(3)

    def update(x, average):
        nonlocal velocity
        velocity = momentum * velocity + (x - average)
        return x - rate * velocity

    want = averages(update, fraction=fraction)
    method = FedAvgM(strategy="fedavgm", momentum=momentum, server_rate=rate)
    states = run(method, participation=fraction)
    for state, x in zip(states, want, strict=True):
        np.testing.assert_allclose(state.server["params"]["w"], x, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(
        states[-1].memory["velocity"]["params"]["w"], velocity, rtol=1e-4, atol=2e-6
    )


@pytest.mark.parametrize(
    "options", [{}, {"server_rate": 0.5, "beta1": 0.3, "beta2": 0.8, "tau": 0.1}, {"beta1": 0.0}]
)
def test_fedadam_by_hand(options):
    """Algorithm 2 of Reddi et al., without a correction for the beginning of the moments."""
    method = FedAdam(strategy="fedadam", **options)
    first, second = np.zeros(3), np.full(3, method.tau**2)

    def update(x, average):
        nonlocal first, second
        delta = average - x
        first = method.beta1 * first + (1 - method.beta1) * delta
        second = method.beta2 * second + (1 - method.beta2) * delta**2
        return x + method.server_rate * first / (np.sqrt(second) + method.tau)

    want = averages(update)
    states = run(method)
    for state, x in zip(states, want, strict=True):
        np.testing.assert_allclose(state.server["params"]["w"], x, rtol=2e-5, atol=2e-6)
    for name, moment in (("first", first), ("second", second)):
        found = states[-1].memory[name]["params"]["w"]
        np.testing.assert_allclose(found, moment, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("backend", ["vmap", "loop"])
def test_without_momentum_fedavgm_is_fedavg_bit_by_bit(backend):
    still = FedAvgM(strategy="fedavgm", momentum=0.0, server_rate=1.0)
    options = {"backend": backend, "optimizer": "keep"}
    found, rows = tiny.run(tiny.federation(method=still, **options), [2, 1, 3], rounds=3)
    want, want_rows = tiny.run(tiny.federation(**options), [2, 1, 3], rounds=3)
    tiny.assert_same((found.server, found.optim), (want.server, want.optim))
    assert rows == want_rows


def test_momentum_goes_on_where_clients_have_stopped():
    """An average that stays where the server is moves by the velocity alone."""
    strategy = build_strategy(FedAvgM(strategy="fedavgm", momentum=0.5))
    server = {"params": {"w": jnp.ones(2)}}
    memory = {"velocity": {"params": {"w": jnp.array([0.25, -1.0])}}}
    average = RoundAverage(server, {}, jnp.float32(1.0))
    memory, moved = strategy.server_update(memory, server, average, jnp.int32(4))
    np.testing.assert_array_equal(moved["params"]["w"], [1 - 0.125, 1 + 0.5])


def test_the_velocity_is_no_part_of_what_fedavg_has():
    states = run(FedAvg(strategy="fedavg"))
    want = averages(lambda x, average: average)
    for state, x in zip(states, want, strict=True):
        np.testing.assert_allclose(state.server["params"]["w"], x, rtol=1e-5, atol=1e-6)
    assert states[-1].memory == {}

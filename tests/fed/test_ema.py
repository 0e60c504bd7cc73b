"""The four readings of Eq. 7, against their closed forms."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.fed import ema
from jaxnas.fed.section import FedAutoMRI
from jaxnas.fed.strategies import build_strategy
from tests.fed import tiny

ROUNDS = 12


def follow(smooth, sequence, start):
    """The server's model after every average of a sequence."""
    smooth, server, found = jax.jit(smooth), {"w": jnp.float32(start)}, []
    for number, average in enumerate(sequence):
        server = smooth(server, {"w": jnp.asarray(average, jnp.float32)}, jnp.int32(number))
        found.append(float(server["w"]))
    return np.array(found)


@pytest.fixture
def averages():
    """W¹, W², ..."""
    return np.random.default_rng(0).normal(size=ROUNDS).astype(np.float32)


@pytest.mark.parametrize("gamma", [0.1, 0.5, 0.9, 0.99, 0.999999])
def test_debiased_has_the_closed_form_weights(averages, gamma):
    found = follow(ema.debiased(gamma), averages, start=5.0)
    for t in range(1, ROUNDS + 1):
        s = np.arange(1, t + 1)
        weights = (1 - gamma) * gamma ** (t - s) / (1 - gamma**t)
        np.testing.assert_allclose(weights.sum(), 1.0, rtol=1e-6)
        np.testing.assert_allclose(found[t - 1], weights @ np.float64(averages[:t]), rtol=2e-5)


@pytest.mark.parametrize("gamma", [0.3, 0.9, 0.999])
def test_debiased_leaves_a_constant_sequence_alone(gamma):
    value = np.float32(1.2345678)
    assert (follow(ema.debiased(gamma), [value] * 40, start=-3.0) == value).all()


def test_plain_begins_with_the_initial_weights(averages):
    gamma, found = 0.8, follow(ema.plain(0.8), averages, start=5.0)
    want = 5.0
    for t, average in enumerate(averages):
        want = gamma * want + (1 - gamma) * average
        np.testing.assert_allclose(found[t], want, rtol=1e-5)


def test_printed_blows_up_as_the_paper_would():
    found = follow(ema.printed(0.9), np.ones(5), start=7.0)
    np.testing.assert_allclose(found[-1], 103.5, rtol=1e-3)
    want = 0.0
    for t in range(1, 6):
        want = (0.9 * want + 0.1) / (1 - 0.9**t)
        np.testing.assert_allclose(found[t - 1], want, rtol=1e-5)


@pytest.mark.parametrize("gamma", [0.2, 0.5, 0.9])
def test_printed_and_debiased_agree_after_the_first_round_alone(averages, gamma):
    a = follow(ema.printed(gamma), averages, start=5.0)
    b = follow(ema.debiased(gamma), averages, start=5.0)
    np.testing.assert_allclose([a[0], b[0]], averages[0], rtol=1e-6)
    assert abs(a[1] - b[1]) > 1e-3


def test_printed_warns_where_it_is_unstable(capsys):
    build_strategy(FedAutoMRI(strategy="fedautomri", ema="printed", gamma=0.5))
    assert capsys.readouterr().err == ""
    build_strategy(FedAutoMRI(strategy="fedautomri", ema="printed", gamma=0.6))
    assert re.search(r"warning: .*gamma 0\.6 amplifies.*debiased", capsys.readouterr().err)


@pytest.mark.parametrize("mode", ["debiased", "plain", "printed", "mix"])
def test_without_inertia_every_mode_is_fedavg_bit_by_bit(mode):
    method = FedAutoMRI(strategy="fedautomri", ema=mode, gamma=0.0)
    fed, plain = tiny.federation(method=method), tiny.federation()
    found, _ = tiny.run(fed, [2, 2, 2])
    want, _ = tiny.run(plain, [2, 2, 2])
    tiny.assert_same(found.server, want.server)
    for client in range(3):
        tiny.assert_same(fed.client_model(found, client), plain.client_model(want, client))


def test_mix_is_the_clients_own():
    """w_c = γ · what it sent + (1 − γ) · the average; and it goes on from there."""
    gamma, steps = 0.3, [2, 2, 2]
    fed = tiny.federation(method=FedAutoMRI(strategy="fedautomri", ema="mix", gamma=gamma))
    alone = tiny.federation(method=tiny.NON_FED)
    state, _ = tiny.run(fed, steps, rounds=1)
    sent, _ = tiny.run(alone, steps, rounds=1)
    tiny.assert_close(state.held, sent.held)
    weights = np.array([1, 2, 3]) / 6
    average = jax.tree.map(lambda x: np.tensordot(weights, np.float64(x), 1), sent.held)
    tiny.assert_close(state.server, average)
    want = jax.tree.map(lambda x, a: gamma * x + (1 - gamma) * a[None], sent.held, average)
    for client in range(3):
        own = jax.tree.map(lambda x, c=client: x[c], want)
        tiny.assert_close(fed.client_model(state, client), own)
    begun, _ = fed._enter(state.key, state.server, state.held, {}, np.arange(3), np.int32(0))
    tiny.assert_close(begun.params, want["params"])


def test_the_average_moves_what_clients_begin_with():
    """Two rounds by hand: round 1 begins from the moving average, not from the average."""
    gamma = 0.6
    method = FedAutoMRI(strategy="fedautomri", ema="plain", gamma=gamma)
    fed, plain = tiny.federation(1, method=method), tiny.federation(1)
    state = fed.init(jax.random.key(11), tiny.model())
    other = plain.init(jax.random.key(11), tiny.model())
    for number in range(2):
        before = jax.device_get(state.server)
        other = other.replace(server=jax.tree.map(jnp.asarray, before))
        state, _ = fed(state, tiny.Data(number, [2]))
        other, _ = plain(other, tiny.Data(number, [2]))
        want = jax.tree.map(lambda w, a: gamma * w + (1 - gamma) * a, before, other.server)
        tiny.assert_close(state.server, want)

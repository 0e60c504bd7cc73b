"""The average: exact where it should be, weighted as said, blind to weight 0."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.fed.exchange import empty_average, include
from tests.fed.tiny import assert_close, assert_same


def models(count, seed=0):
    """Stacked models of two leaves, one a scalar."""
    rng = np.random.default_rng(seed)
    return {
        "params": {"w": jnp.asarray(rng.normal(size=(count, 3, 2)), jnp.float32)},
        "alphas": {"cell": jnp.asarray(rng.normal(size=count), jnp.float32)},
    }


def client(stack, i):
    """One model of a stack."""
    return {
        "params": {"w": stack["params"]["w"][i]},
        "alphas": {"cell": stack["alphas"]["cell"][i]},
    }


def average(stack, weights, *, sizes):
    """The average of a stack that arrives in chunks."""
    found, first = empty_average(client(stack, 0)), 0
    for size in sizes:
        part = {
            "params": {"w": stack["params"]["w"][first : first + size]},
            "alphas": {"cell": stack["alphas"]["cell"][first : first + size]},
        }
        found = include(found, part, jnp.asarray(weights[first : first + size], jnp.float32))
        first += size
    return found


@pytest.mark.parametrize("sizes", [(5,), (2, 2, 1), (1, 1, 1, 1, 1), (4, 1)])
def test_weighted_mean_in_any_chunks(sizes):
    stack, weights = models(5), np.array([3.0, 1.0, 0.0, 2.5, 10.0])
    found = average(stack, weights, sizes=sizes)
    for leaf, want in [
        (found.mean["params"]["w"], stack["params"]["w"]),
        (found.mean["alphas"]["cell"], stack["alphas"]["cell"]),
    ]:
        np.testing.assert_allclose(
            leaf, np.average(np.float64(want), axis=0, weights=weights), atol=1e-6
        )
    np.testing.assert_allclose(found.weight, weights.sum())


@pytest.mark.parametrize("weight", [1.0, 0.3, 7.0])
def test_one_client_is_its_own_average_bit_by_bit(weight):
    stack = models(1)
    assert_same(average(stack, np.array([weight]), sizes=(1,)).mean, client(stack, 0))


def test_equal_clients_one_by_one_are_their_average_bit_by_bit():
    stack = models(1)
    same = {
        "params": {"w": jnp.repeat(stack["params"]["w"], 4, axis=0)},
        "alphas": {"cell": jnp.repeat(stack["alphas"]["cell"], 4)},
    }
    weights = np.array([0.1, 0.37, 0.5, 0.03])
    assert_same(average(same, weights, sizes=(1, 1, 1, 1)).mean, client(stack, 0))
    assert_close(average(same, weights, sizes=(4,)).mean, client(stack, 0), rtol=3e-7, atol=0)


@pytest.mark.parametrize("sizes", [(3,), (1, 1, 1), (2, 1)])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_has_no_weight_does_not_count_whatever_it_is(sizes, bad):
    stack = models(3)
    stack["params"]["w"] = stack["params"]["w"].at[0].set(bad)
    found = average(stack, np.array([0.0, 1.0, 1.0]), sizes=sizes).mean["params"]["w"]
    np.testing.assert_allclose(found, stack["params"]["w"][1:].mean(0), rtol=1e-6)


def test_average_of_nobody_is_finite():
    found = average(models(2), np.zeros(2), sizes=(1, 1))
    assert float(found.weight) == 0.0
    np.testing.assert_array_equal(found.mean["params"]["w"], 0.0)

"""Streams are pure functions of (seed, name, step), different in each."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.rng import root_key, stream, uniform


def bits(key):
    """The key as numbers."""
    return tuple(jax.random.key_data(key).tolist())


def test_streams_differ_in_seed_name_and_step():
    places = list(itertools.product((0, 1), ("mask", "data"), (0, 1, 2)))
    keys = {bits(stream(root_key(seed), name, step)) for seed, name, step in places}
    assert len(keys) == len(places)


def test_a_stream_is_the_same_inside_and_outside_of_jit(key):
    inside = jax.jit(lambda k, step: stream(k, "mask", step))(key, jnp.int32(7))
    assert bits(inside) == bits(stream(key, "mask", 7))


def test_keys_do_not_depend_on_the_process():
    assert bits(stream(root_key(3), "mask", 5)) == (4032483144, 3948336592)


@pytest.mark.parametrize("shape", [(1,), (3, 3, 5), (1, 1, 32, 32), (3, 7, 61), (1025,)])
def test_uniform_numbers_are_those_of_jax(key, shape):
    wanted = jax.random.uniform(key, shape, jnp.float32, -0.7, 0.7)
    np.testing.assert_array_equal(uniform(key, shape, 0.7), wanted)

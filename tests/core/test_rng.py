"""Streams are pure functions of (seed, name, step), different in each."""

import itertools

import jax
import jax.numpy as jnp

from jaxnas.core.rng import root_key, stream


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

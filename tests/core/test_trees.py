"""Functions on pytrees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core import trees


def test_count_works_on_arrays_and_shapes():
    tree = {"a": jnp.zeros((2, 3)), "b": [jnp.zeros(())]}
    assert trees.count(tree) == 7
    assert trees.count(jax.eval_shape(lambda: tree)) == 7
    assert trees.count({}) == 0


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.complex64])
def test_all_finite_finds_one_bad_value(bad, dtype):
    good = {"x": jnp.ones((3,), dtype), "n": jnp.arange(3), "key": jax.random.key(0)}
    assert trees.all_finite(good)
    assert not jax.jit(trees.all_finite)(good | {"x": jnp.ones((3,), dtype).at[1].set(bad)})


def test_nothing_is_finite():
    assert trees.all_finite({"n": jnp.arange(3)})


def test_global_norm_counts_every_leaf_and_both_parts():
    tree = {"a": jnp.array([3.0]), "b": jnp.array([[4j]]), "c": jnp.array([12.0])}
    np.testing.assert_allclose(trees.global_norm(tree), 13.0)

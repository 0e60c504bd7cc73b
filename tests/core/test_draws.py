"""Variables drawn without running the module are those that running it finds."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnas.core.rng import draw_variables


class Counted(nn.Module):
    """A layer, a constant and a statistic; `note` is told on the host that it ran."""

    note: Callable

    @nn.compact
    def __call__(self, x):
        self.variable("batch_stats", "mean", jnp.zeros, (4,))
        gain = self.param("gain", nn.initializers.ones, (1, 4))
        x = nn.Dense(4)(x) * gain
        shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
        return nn.Dense(2)(jax.pure_callback(self.note, shape, x))


def test_the_variables_are_those_of_init_and_nothing_ran(key):
    x, ran = jnp.zeros((3, 5)), []

    def note(x):
        ran.append(x.shape)
        return x

    net = Counted(note)
    wanted = net.init(key, x)
    assert len(ran) == 1
    for shapes in (x, jax.ShapeDtypeStruct(x.shape, x.dtype)):
        found = draw_variables(key, net.init, shapes)
        assert jax.tree.structure(found) == jax.tree.structure(wanted)
        jax.tree.map(np.testing.assert_array_equal, found, wanted)
    assert len(ran) == 1


def test_nothing_else_ran_in_a_loop_either(key):
    x, ran = jnp.zeros((3, 5)), []

    def init(key, x):
        def layer(x, key):
            shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
            y = jax.pure_callback(lambda x: ran.append(x.shape) or x, shape, x)
            return y, jax.random.normal(key, (2,))

        return jax.lax.scan(layer, x, jax.random.split(key, 2))[1]

    found = draw_variables(key, init, x)
    assert not ran
    np.testing.assert_array_equal(found, init(key, x))
    assert len(ran) == 2


def test_what_depends_on_the_input_sees_zeros(key):
    def init(key, x):
        return {"mean": x.mean(0) + 1, "draw": jax.random.normal(key, x.shape)}

    found = draw_variables(key, init, jax.ShapeDtypeStruct((2, 3), jnp.float32))
    np.testing.assert_array_equal(found["mean"], jnp.ones(3))
    np.testing.assert_array_equal(found["draw"], jax.random.normal(key, (2, 3)))


def test_under_vmap(key):
    keys, x = jax.random.split(key, 3), jnp.zeros((2, 5))
    net = nn.Dense(4)
    found = jax.vmap(lambda key: draw_variables(key, net.init, x))(keys)
    for n in range(3):
        wanted = net.init(keys[n], x)
        jax.tree.map(lambda a, b, n=n: np.testing.assert_array_equal(a[n], b), found, wanted)

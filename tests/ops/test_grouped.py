"""Grouped and strided convolution against XLA's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxnas.ops.conv import reference_lowering
from jaxnas.ops.grouped import grouped_conv2d, strided_conv2d


def both(function, *args):
    """Value and gradients of Σ sin y, by our lowering and by the reference."""

    def loss(*args):
        return jnp.sin(function(*args)).sum()

    argnums = tuple(range(len(args)))
    ours = jax.jit(jax.value_and_grad(loss, argnums))(*args)
    with reference_lowering():
        theirs = jax.value_and_grad(loss, argnums)(*args)
    return ours, theirs


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize(("size", "dilation"), [((1, 1), 1), ((3, 5), 1), ((3, 3), 2)])
def test_grouped_is_a_grouped_convolution(groups, size, dilation, key):
    x = jax.random.normal(key, (2, 6, 5, groups * 2))
    kernel = jax.random.normal(jax.random.key(1), (*size, 2, groups * 4))

    def conv(x, kernel):
        return grouped_conv2d(x, kernel, groups=groups, dilation=dilation)

    ours, theirs = both(conv, x, kernel)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3), ours, theirs)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels", [1, 3])
def test_strided_takes_every_second_pixel(stride, channels, key):
    x = jax.random.normal(key, (2, 6, 8, channels))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, channels, 4))
    want = lax.conv_general_dilated(
        x, kernel, (stride, stride), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(strided_conv2d(x, kernel, stride=stride), want, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: grouped_conv2d(jnp.ones((1, 4, 4, 6)), jnp.ones((1, 1, 2, 4)), groups=2), "6 / 2"),
        (lambda: grouped_conv2d(jnp.ones((1, 4, 4, 6)), jnp.ones((1, 1, 3, 5)), groups=2), "of 2"),
        (lambda: strided_conv2d(jnp.ones((1, 5, 4, 1)), jnp.ones((3, 3, 1, 2)), stride=2), "5 x 4"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()

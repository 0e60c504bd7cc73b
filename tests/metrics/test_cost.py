"""The operation counter, by hand-counted programs."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn
from jax import lax
from jax.custom_batching import custom_vmap

from jaxnas.metrics.cost import Cost, count_cost, count_macs, count_params

LAYOUT = ("NHWC", "HWIO", "NHWC")


def conv(x, kernel, *, strides=1, dilation=1, groups=1):
    """A SAME convolution, as any library would lower it."""
    return lax.conv_general_dilated(
        x,
        kernel,
        (strides, strides),
        "SAME",
        rhs_dilation=(dilation, dilation),
        feature_group_count=groups,
        dimension_numbers=LAYOUT,
    )


def image(channels, *, size=64):
    return jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32)


def weights(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def transposed(x, kernel):
    return lax.conv_transpose(x, kernel, (2, 2), "SAME", dimension_numbers=LAYOUT)


# 3x3, dilated, depthwise, transposed: fvcore's numbers for the same PyTorch layers.
CONVOLUTIONS = {
    "3x3": (conv, weights(3, 3, 32, 32), 37_748_736),
    "dilated": (partial(conv, dilation=2), weights(5, 5, 32, 32), 104_857_600),
    "depthwise": (partial(conv, groups=32), weights(3, 3, 1, 32), 1_179_648),
    "transposed": (transposed, weights(2, 2, 32, 32), 16_777_216),
    "grouped": (partial(conv, groups=4), weights(3, 3, 8, 16), 64 * 64 * 9 * 8 * 16),
    "strided": (partial(conv, strides=2), weights(3, 3, 32, 8), 32 * 32 * 9 * 32 * 8),
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolutions(case):
    fn, kernel, macs = CONVOLUTIONS[case]
    assert count_macs(fn, image(32), kernel) == macs


def test_products():
    assert count_macs(jnp.matmul, weights(5, 7), weights(7, 3)) == 5 * 7 * 3
    batched = count_macs(
        lambda a, b: jnp.einsum("bij,bkj->bik", a, b), weights(4, 5, 7), weights(4, 3, 7)
    )
    assert batched == 4 * 5 * 7 * 3


def square(x):
    """125 MACs on a 5 × 5 matrix."""
    return x @ x


@jax.custom_vjp
def with_gradient(x):
    return square(x)


with_gradient.defvjp(lambda x: (square(x), x), lambda x, g: (g @ x.T,))


@jax.custom_jvp
def with_tangent(x):
    return square(x)


with_tangent.defjvps(lambda dx, y, x: dx @ x)


@custom_vmap
def with_batching(x):
    return square(x)


with_batching.def_vmap(lambda size, batched, x: (x @ x, True))

WRAPPED = {
    "jit": (jax.jit(square), 125),
    "nested jit": (jax.jit(jax.jit(square)), 125),
    "remat": (jax.checkpoint(square), 125),
    "custom_vjp": (with_gradient, 125),
    "custom_jvp": (with_tangent, 125),
    "custom_vmap": (with_batching, 125),
    "scan": (lambda x: lax.scan(lambda c, _: (square(c), None), x, length=7)[0], 875),
    "map": (lambda x: lax.map(square, jnp.stack([x, x])), 250),
    "fori_loop": (lambda x: lax.fori_loop(0, 3, lambda _, c: square(c), x), 375),
    "vmap": (lambda x: jax.vmap(square)(jnp.stack([x, x])), 250),
    "cond": (lambda x: lax.cond(x[0, 0] > 0, square, lambda x: x @ x @ x, x), 250),
    "linear solve": (
        lambda x: lax.custom_linear_solve(square, x, lambda _, b: square(b), symmetric=True),
        125,
    ),
    "fft": (lambda x: jnp.fft.fft2(x).real, 0),
    "gradient": (jax.grad(lambda x: square(x).sum()), 375),
}


@pytest.mark.parametrize("case", WRAPPED)
def test_nested_programs(case):
    fn, macs = WRAPPED[case]
    assert count_macs(fn, weights(5, 5)) == macs


def test_while_has_no_length():
    with pytest.raises(ValueError, match="while loop"):
        count_macs(lambda x: lax.while_loop(lambda c: c[0] < 9, lambda c: c + 1, x), weights(3))


def added(x, b):
    return x + b[None, None, None]


def reshaped(x, b):
    return x + b.reshape(1, 1, 1, -1)


def spread(x, b):
    return jnp.broadcast_to(b, x.shape) + x


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("fn", [added, reshaped, spread, jax.jit(added)])
def test_bias_additions(fn, channels):
    cost = count_cost(fn, image(channels, size=8), weights(channels))
    assert cost == Cost(bias_adds=64 * channels)


def test_other_additions_are_no_biases():
    x = image(4, size=8)
    assert count_cost(lambda x: x + x + 1.0 + x.mean(), x) == Cost()
    assert count_cost(lambda x: x / jnp.sqrt(x.var((1, 2), keepdims=True) + 1e-5), x) == Cost()


@pytest.mark.parametrize(
    "fn", [nn.relu, nn.leaky_relu, jax.jit(nn.relu), lambda x: jnp.maximum(x, 0.0)]
)
def test_rectifiers_count_their_elements_once(fn):
    assert count_cost(fn, image(4, size=8)) == Cost(activations=256)


def test_conventions_add_up():
    cost = Cost(10, 2, 3) + Cost(1, 1, 1) * 2
    assert cost == Cost(12, 4, 5)
    assert (cost.flops, cost.flops_with_activations) == (16, 21)


def test_count_params():
    assert count_params({"kernel": weights(3, 3, 2, 4), "bias": jnp.zeros(4)}) == 76

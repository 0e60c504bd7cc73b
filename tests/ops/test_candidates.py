"""Every candidate operation: its size, its linear map, its variance at the start."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core import trees
from jaxnas.ops.candidates import OPERATIONS, Operation, dilate
from jaxnas.ops.conv import conv2d


@pytest.mark.parametrize(
    ("operation", "count"),
    [
        ("sep_conv_3x3", 1312),
        ("dil_2_conv_3x3", 1312),
        ("dil_3_conv_3x3", 1312),
        ("conv_9x1_1x9", 576),
        ("std_conv_3x3", 9216),
        ("std_conv_5x5", 25600),
        ("std_conv_7x7", 50176),
        ("sep_conv_5x5", 1824),
        ("sep_conv_7x7", 2592),
        ("std_conv_1x1", 1024),
        ("dil_2_std_conv_3x3", 9216),
        ("dil_3_std_conv_3x3", 9216),
        ("conv_3x1_1x3", 192),
        ("conv_5x1_1x5", 320),
        ("conv_7x1_1x7", 448),
        ("pool_conv_3x3", 1024),
        ("pool_conv_5x5", 1024),
        ("skip_connect", 0),
        ("none", 0),
    ],
)
def test_parameter_counts_at_32_channels(operation, count, key):
    variables = Operation(operation).init(key, jnp.ones((1, 4, 4, 32)))
    assert trees.count(variables) == count


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_candidate_is_relu_then_its_dense_kernel(operation, key):
    x = jax.random.normal(key, (2, 11, 10, 4))
    y, variables = Operation(operation).init_with_output(key, x)
    dense = OPERATIONS[operation].dense(variables["params"])
    np.testing.assert_allclose(y, conv2d(jax.nn.relu(x), dense), atol=1e-5)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("gain", [1.0, 0.25])
def test_half_the_variance_at_the_start(operation, gain, key):
    """Of ReLU(x), x standard normal: what two summed candidates need to keep it, times the gain."""
    x = jax.random.normal(key, (4, 32, 32, 24))
    layer = Operation(operation, gain=gain)
    y = [layer.init_with_output(jax.random.key(seed), x)[0][:, 9:-9, 9:-9] for seed in range(3)]
    assert float(jnp.mean(jnp.square(jnp.stack(y)))) == pytest.approx(0.5 * gain, rel=0.15)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_scaled_kernels_scale_the_map(operation, key):
    x = jax.random.normal(key, (1, 8, 8, 4))
    candidate = OPERATIONS[operation]
    kernels = Operation(operation).init(key, x)["params"]
    scaled = candidate.scale(kernels, jnp.float32(0.3))
    np.testing.assert_allclose(
        candidate.apply(x, scaled), 0.3 * candidate.apply(x, kernels), atol=1e-5
    )


def test_skip_has_no_relu_and_none_is_zero(key):
    x = jax.random.normal(key, (1, 4, 4, 3))
    np.testing.assert_array_equal(Operation("skip_connect").apply({}, x), x)
    np.testing.assert_array_equal(Operation("none").apply({}, x), jnp.zeros_like(x))


def test_dilate_spreads_the_taps():
    spread = dilate(jnp.arange(1.0, 10).reshape(3, 3, 1), 3)
    assert spread.shape == (7, 7, 1)
    np.testing.assert_array_equal(spread[::3, ::3, 0], jnp.arange(1.0, 10).reshape(3, 3))
    assert (spread != 0).sum() == 9

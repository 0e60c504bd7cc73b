"""The operations of the segmentation space: against PyTorch, in size, and side by side."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core import trees
from jaxnas.ops.norm_operations import NormOperation, channel_shuffle
from jaxnas.ops.registry import NORM_OPERATIONS
from jaxnas.spaces.section import SEGMENTATION_OPERATIONS

POOLS = ("max_pool_3x3", "avg_pool_3x3")
CONVOLUTIONS = tuple(name for name in NORM_OPERATIONS if name not in (*POOLS, "skip_connect"))


def test_a_config_may_name_what_there_is():
    assert tuple(name for name in NORM_OPERATIONS if name not in POOLS) == SEGMENTATION_OPERATIONS


def apply(operation, params, x):
    return operation.apply({"params": params}, x, train=True)


def init(operation, x, seed=0):
    return operation.init(jax.random.key(seed), x, train=True).get("params", {})


def torch_operation(F, name, x, params):
    """Written from the definitions, in NCHW."""

    def norm(x):
        return F.batch_norm(x, None, None, None, None, True)

    def separable(x, index, dilation=1):
        depthwise = params[f"depthwise{index}"].permute(2, 0, 1)[:, None]
        pointwise = params[f"pointwise{index}"].permute(3, 2, 0, 1)
        padding = dilation * (depthwise.shape[-1] // 2)
        x = F.conv2d(F.relu(x), depthwise, None, 1, padding, dilation, groups=x.shape[1])
        return norm(F.conv2d(x, pointwise))

    match name.split("_")[0]:
        case "skip":
            return x
        case "sep":
            return separable(separable(x, 0), 1)
        case "dil":
            return separable(x, 0, dilation=2)
        case "conv":
            return norm(F.conv2d(F.relu(x), params["kernel0"].permute(3, 2, 0, 1), padding=1))
        case "max":
            return norm(F.max_pool2d(x, 3, 1, 1))
        case "avg":
            return norm(F.avg_pool2d(x, 3, 1, 1, count_include_pad=False))


@pytest.mark.parametrize("name", NORM_OPERATIONS)
def test_operations_are_pytorch_s(name, key):
    torch = pytest.importorskip("torch")
    x = jax.random.normal(key, (2, 9, 8, 4))
    operation = NormOperation(name)
    params = init(operation, x)
    leaves = jax.tree.map(lambda leaf: torch.from_numpy(np.array(leaf)), params)
    image = torch.from_numpy(np.array(x)).permute(0, 3, 1, 2)
    want = torch_operation(torch.nn.functional, name, image, leaves).permute(0, 2, 3, 1)
    np.testing.assert_allclose(apply(operation, params, x), want.numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("skip_connect", 0),
        ("sep_conv_3x3", 2 * (9 * 16 + 16 * 16)),
        ("sep_conv_5x5", 2 * (25 * 16 + 16 * 16)),
        ("dil_conv_3x3", 9 * 16 + 16 * 16),
        ("dil_conv_5x5", 25 * 16 + 16 * 16),
        ("conv_3x3", 9 * 16 * 16),
        ("max_pool_3x3", 0),
        ("avg_pool_3x3", 0),
    ],
)
def test_parameter_counts_at_16_channels(name, count):
    x = jnp.ones((1, 4, 4, 16))
    assert trees.count(init(NormOperation(name), x)) == count
    norms = {"sep": 2, "dil": 1, "conv": 1}.get(name.split("_")[0], 0)
    assert trees.count(init(NormOperation(name, affine=True), x)) == count + norms * 32


@pytest.mark.parametrize("name", NORM_OPERATIONS)
@pytest.mark.parametrize(("edges", "sources"), [(3, 1), (4, 2), (3, 3)])
def test_edges_side_by_side_are_edges_alone(name, edges, sources, key):
    channels = 4
    x = jax.random.normal(key, (2, 6, 5, sources * channels))
    wide, narrow = NormOperation(name, edges=edges, sources=sources), NormOperation(name)
    params = init(wide, x)
    together = apply(wide, params, x).reshape(2, 6, 5, edges, channels)
    for edge in range(edges):
        own = jax.tree.map(lambda k, e=edge: k[..., e * channels : (e + 1) * channels], params)
        source = edge // (edges // sources)
        read = x[..., source * channels : (source + 1) * channels]
        np.testing.assert_allclose(together[..., edge, :], apply(narrow, own, read), atol=1e-4)


@pytest.mark.parametrize("name", ["sep_conv_3x3", "conv_3x3"])
def test_a_model_axis_is_a_loop_over_models(name, key):
    x = jax.random.normal(key, (2, 1, 6, 5, 8))
    operation = NormOperation(name, edges=4, sources=2)
    params = [init(operation, x[0], seed) for seed in range(2)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *params)
    mapped = jax.vmap(lambda p, x: apply(operation, p, x))(stacked, x)
    for i in range(2):
        np.testing.assert_allclose(mapped[i], apply(operation, params[i], x[i]), atol=1e-4)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_kernels_of_many_edges_start_like_those_of_one(name):
    x = jnp.ones((1, 4, 4, 8))
    one = init(NormOperation(name), x)
    many = init(NormOperation(name, edges=6), x)
    for kernel, expected in zip(jax.tree.leaves(many), jax.tree.leaves(one)):
        assert float(kernel.max()) == pytest.approx(float(expected.max()), rel=0.15)


def test_computes_in_the_given_dtype_with_float32_parameters(key):
    x = jax.random.normal(key, (1, 8, 8, 4))
    narrow = NormOperation("sep_conv_3x3", dtype=jnp.bfloat16)
    params = init(narrow, x)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    y = apply(narrow, params, x)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y, apply(NormOperation("sep_conv_3x3"), params, x), atol=0.2)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_channel_shuffle_is_pytorch_s(groups):
    torch = pytest.importorskip("torch")
    x = np.arange(2 * 3 * 3 * 8, dtype=np.float32).reshape(2, 3, 3, 8)
    want = torch.nn.ChannelShuffle(groups)(torch.from_numpy(x).permute(0, 3, 1, 2))
    np.testing.assert_array_equal(channel_shuffle(x, groups=groups), want.permute(0, 2, 3, 1))


def test_what_does_not_fit_is_refused():
    x = jnp.ones((1, 4, 4, 6))
    with pytest.raises(ValueError, match="distinct names"):
        init(NormOperation("sep_conv_9x9"), x)
    with pytest.raises(ValueError, match="divisible by 2 sources"):
        init(NormOperation("conv_3x3", edges=3, sources=2), x)
    with pytest.raises(ValueError, match="divisible by 4"):
        channel_shuffle(x, groups=4)

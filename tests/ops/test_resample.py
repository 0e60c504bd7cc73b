"""Pooling and upsampling against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.ops.resample import (
    avg_pool2,
    avg_pool3,
    conv_transpose2,
    max_pool2,
    max_pool3,
    resize,
    upsample2,
)


@pytest.mark.parametrize(("pool", "reduce"), [(max_pool2, np.max), (avg_pool2, np.mean)])
@pytest.mark.parametrize("size", [(6, 4), (7, 5)])
def test_pooling_reduces_blocks_and_drops_the_odd_border(pool, reduce, size, key):
    x = np.asarray(jax.random.normal(key, (2, *size, 3)))
    y = pool(x)
    assert y.shape == (2, size[0] // 2, size[1] // 2, 3)
    for i in range(y.shape[1]):
        for j in range(y.shape[2]):
            block = x[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            np.testing.assert_allclose(y[:, i, j], reduce(block, axis=(1, 2)), rtol=1e-6)


def test_max_pool_gives_ties_to_the_first_and_passes_nan_on():
    gradient = jax.grad(lambda x: max_pool2(x).sum())(jnp.ones((1, 2, 2, 1)))
    np.testing.assert_array_equal(gradient[0, :, :, 0], [[1, 0], [0, 0]])
    for place in range(4):
        x = jnp.zeros(4).at[place].set(jnp.nan).reshape(1, 2, 2, 1)
        assert jnp.isnan(max_pool2(x)).all()


@pytest.mark.parametrize("size", [(4, 4), (5, 3), (1, 2)])
def test_upsample_is_half_pixel_bilinear(size, key):
    x = jax.random.normal(key, (2, *size, 3))
    shape = (2, 2 * size[0], 2 * size[1], 3)
    # jax.image renormalises at the border, which equals repeating the edge when enlarging.
    np.testing.assert_allclose(upsample2(x), jax.image.resize(x, shape, "bilinear"), atol=1e-6)


def test_conv_transpose_is_the_adjoint_of_a_strided_convolution(key):
    x = jax.random.normal(key, (2, 3, 4, 5))
    kernel = jax.random.normal(jax.random.key(1), (2, 2, 5, 3))
    y = jax.random.normal(jax.random.key(2), (2, 6, 8, 3))

    def strided(y):
        dimensions = ("NHWC", "HWOI", "NHWC")
        return jax.lax.conv_general_dilated(
            y, kernel, (2, 2), "VALID", dimension_numbers=dimensions
        )

    up = conv_transpose2(x, kernel)
    assert up.shape == y.shape
    np.testing.assert_allclose(jnp.vdot(up, y), jnp.vdot(x, strided(y)), rtol=1e-4)


def test_conv_transpose_refuses_other_kernels():
    with pytest.raises(ValueError, match=r"\(2, 2, 5, O\)"):
        conv_transpose2(jnp.ones((1, 2, 2, 5)), jnp.ones((3, 3, 5, 2)))


def in_torch(function, x):
    """A PyTorch function of NCHW images on NHWC ones."""
    torch = pytest.importorskip("torch")
    y = function(torch.nn.functional, torch.from_numpy(np.array(x)).permute(0, 3, 1, 2))
    return y.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("size", [(4, 6), (5, 1)])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (max_pool3, lambda F, x: F.max_pool2d(x, 3, 1, 1)),
        (avg_pool3, lambda F, x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)),
        (upsample2, lambda F, x: F.interpolate(x, scale_factor=2, mode="bilinear")),
    ],
)
def test_resampling_is_pytorch_s(ours, theirs, size, key):
    x = jax.random.normal(key, (2, *size, 3))
    np.testing.assert_allclose(ours(x), in_torch(theirs, x), atol=1e-6)


@pytest.mark.parametrize("size", [(9, 3), (2, 11), (1, 6), (5, 6)])
def test_resize_is_pytorch_s_with_aligned_corners(size, key):
    x = jax.random.normal(key, (2, 5, 6, 3))

    def theirs(F, x):
        return F.interpolate(x, size=size, mode="bilinear", align_corners=True)

    np.testing.assert_allclose(resize(x, size), in_torch(theirs, x), atol=1e-6)

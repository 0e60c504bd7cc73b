"""Convolutions between groups of channels, and convolutions that skip pixels.

XLA has no fast grouped convolution (see `ops.depthwise`), and groups of 4 to 32 channels are too
narrow for one product each. One product with the groups' kernels along the diagonal of a dense
kernel is wide, needs no transposition and compiles to one call; its zeros cost less than they save.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxnas.ops import conv
from jaxnas.ops.lowerings import DIMENSIONS


def grouped_conv2d(x: jax.Array, kernel: jax.Array, *, groups: int, dilation: int = 1) -> jax.Array:
    """Convolves every group of channels with kernels of its own, zero padded to the same size.

    Args:
      x: (B, H, W, G·I), group by group.
      kernel: (kh, kw, I, G·O), kh and kw odd, same dtype; group g owns outputs g·O to (g + 1)·O.
      groups: G.
      dilation: the distance between taps in pixels.

    Returns:
      (B, H, W, G·O).

    Raises:
      ValueError: shapes or dtypes do not fit.
    """
    inputs, outputs = x.shape[-1], kernel.shape[-1]
    if kernel.ndim != 4 or inputs != groups * kernel.shape[2] or outputs % groups:
        raise ValueError(
            f"expected a kernel (kh, kw, {inputs} / {groups}, O) with O a multiple of {groups}, "
            f"found {kernel.shape}"
        )
    if groups == 1:
        return conv.conv2d(x, kernel, dilation=dilation)
    if conv.is_reference():
        return lax.conv_general_dilated(
            x,
            kernel,
            window_strides=(1, 1),
            padding="SAME",
            rhs_dilation=(dilation, dilation),
            dimension_numbers=DIMENSIONS,
            feature_group_count=groups,
        )
    return conv.conv2d(x, _on_the_diagonal(kernel, groups), dilation=dilation)


def _on_the_diagonal(kernel: jax.Array, groups: int) -> jax.Array:
    """(kh, kw, I, G·O) → (kh, kw, G·I, G·O), zero where input and output differ in group."""
    inputs, outputs = groups * kernel.shape[2], kernel.shape[3]
    group_in = np.repeat(np.arange(groups), inputs // groups)
    group_out = np.repeat(np.arange(groups), outputs // groups)
    same = group_in[:, None] == group_out[None]
    return jnp.where(same[None, None], jnp.tile(kernel, (1, 1, groups, 1)), 0)


def strided_conv2d(x: jax.Array, kernel: jax.Array, *, stride: int) -> jax.Array:
    """The convolution of `conv2d` at every `stride`-th pixel, the first included.

    The taps become channels: for the one or few channels of an image that is cheaper than to
    compute the pixels that are dropped.

    Args:
      x: (B, H, W, I), H and W divisible by `stride`.
      kernel: (kh, kw, I, O), kh and kw odd, same dtype.
      stride: the distance between the pixels that are kept.

    Returns:
      (B, H/stride, W/stride, O).

    Raises:
      ValueError: shapes or dtypes do not fit.
    """
    conv.check_operands(x, kernel, rank=4, dilation=1)
    (kh, kw), (_, height, width, _) = kernel.shape[:2], x.shape
    if height % stride or width % stride:
        raise ValueError(f"expected sides divisible by {stride}, found {height} x {width}")
    if stride == 1:
        return conv.conv2d(x, kernel)
    padded = jnp.pad(x, ((0, 0), (kh // 2, kh // 2), (kw // 2, kw // 2), (0, 0)))
    taps = [
        padded[:, i : i + height : stride, j : j + width : stride]
        for i in range(kh)
        for j in range(kw)
    ]
    return conv.conv2d(jnp.concatenate(taps, axis=-1), kernel.reshape(1, 1, -1, kernel.shape[-1]))

"""Depthwise convolution as shifted multiply-adds, and its gradients.

XLA has no fast grouped convolution on CPU (and a slow one on many accelerators), but the k² shifted
views of a padded image fuse into one loop that reads and writes memory once. As in `ops.conv` two
bilinear primitives are closed under differentiation, and both carry a leading axis of N
independent kernels for `vmap` over models; here it costs nothing special.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching

from jaxnas.core.trees import add_up
from jaxnas.ops import conv
from jaxnas.ops.lowerings import DIMENSIONS

# Rows are summed in this many parts before the rest of the sum (see `_kernel_gradient_cpu`).
ROW_PARTS = 8


def depthwise_conv2d(x: jax.Array, kernel: jax.Array, *, dilation: int = 1) -> jax.Array:
    """Convolves each channel with its own kernel, zero padded to the same size.

    y[b, h, w, c] = Σ_{i, j} x[b, h + d(i - kh//2), w + d(j - kw//2), c] kernel[i, j, c]

    Args:
      x: images (B, H, W, C), floating.
      kernel: (kh, kw, C), kh and kw odd, same dtype as `x`.
      dilation: the distance d between taps in pixels.

    Returns:
      (B, H, W, C) in the dtype of `x`; sums are float32 at least.

    Raises:
      ValueError: shapes, dtypes or dilation do not fit.
    """
    conv.check_operands(x, kernel, rank=3, dilation=dilation)
    if conv.is_reference():
        return lax.conv_general_dilated(
            x,
            kernel[:, :, None, :],
            window_strides=(1, 1),
            padding="SAME",
            rhs_dilation=(dilation, dilation),
            dimension_numbers=DIMENSIONS,
            feature_group_count=x.shape[-1],
        )
    return depthwise_p.bind(x[None], kernel[None], dilation=dilation)[0]


# `depthwise_p`: x (N, B, H, W, C), k (N, kh, kw, C) → (N, B, H, W, C).
# `depthwise_kernel_p`: x and dy (N, B, H, W, C) → dk (N, kh, kw, C).

depthwise_p = Primitive("depthwise_conv2d")
depthwise_kernel_p = Primitive("depthwise_conv2d_kernel")


@depthwise_p.def_abstract_eval
def _(x, k, *, dilation):
    return x.update(shape=x.shape, weak_type=False)


@depthwise_kernel_p.def_abstract_eval
def _(x, dy, *, size, dilation):
    return x.update(shape=(x.shape[0], *size, x.shape[4]), weak_type=False)


def _flip(k: jax.Array) -> jax.Array:
    return k[:, ::-1, ::-1]


def _transpose_x(dy, x, k, *, dilation):
    return depthwise_p.bind(dy, _flip(k), dilation=dilation)


def _transpose_k(dy, x, k, *, dilation):
    return depthwise_kernel_p.bind(x, dy, size=k.aval.shape[1:3], dilation=dilation)


def _kernel_transpose_x(dk, x, dy, *, size, dilation):
    return depthwise_p.bind(dy, _flip(dk), dilation=dilation)


def _kernel_transpose_dy(dk, x, dy, *, size, dilation):
    return depthwise_p.bind(x, dk, dilation=dilation)


ad.defbilinear(depthwise_p, _transpose_x, _transpose_k)
ad.defbilinear(depthwise_kernel_p, _kernel_transpose_x, _kernel_transpose_dy)


def _batch_rule(primitive, args, dims, **params):
    """A mapped axis joins the N kernels; an operand without it is broadcast."""
    (size,) = {arg.shape[dim] for arg, dim in zip(args, dims) if dim is not None}

    def join(arg, dim):
        if dim is None:
            arg, dim = jnp.broadcast_to(arg, (size, *arg.shape)), 0
        arg = jnp.moveaxis(arg, dim, 0)
        return arg.reshape(-1, *arg.shape[2:])

    out = primitive.bind(*map(join, args, dims), **params)
    return out.reshape(size, -1, *out.shape[1:]), 0


batching.primitive_batchers[depthwise_p] = partial(_batch_rule, depthwise_p)
batching.primitive_batchers[depthwise_kernel_p] = partial(_batch_rule, depthwise_kernel_p)


def _padded(x, size, dilation, rows):
    """Images with zeros around them, as far as taps reach, and below them up to `rows` rows."""
    (kh, kw), height = size, x.shape[2]
    top, left = dilation * (kh // 2), dilation * (kw // 2)
    padded = jnp.pad(x, ((0, 0), (0, 0), (top, top + rows - height), (left, left), (0, 0)))
    # Written out once: otherwise XLA may recompute the padding for every tap.
    return lax.optimization_barrier(padded)


def _views(x, size, dilation):
    """The kh kw shifted views of the zero-padded images, in kernel order."""
    (kh, kw), (height, width) = size, x.shape[2:4]
    padded = _padded(x, size, dilation, height)
    return [
        padded[:, :, i : i + height, j : j + width]
        for i in range(0, dilation * kh, dilation)
        for j in range(0, dilation * kw, dilation)
    ]


def _sum_dtype(x):
    return jnp.promote_types(x.dtype, jnp.float32)


def _forward(x, k, *, dilation):
    dtype, size = _sum_dtype(x), k.shape[1:3]
    taps = k.astype(dtype).reshape(k.shape[0], -1, 1, 1, 1, k.shape[3])
    views = _views(x, size, dilation)
    return add_up(v.astype(dtype) * taps[:, t] for t, v in enumerate(views)).astype(x.dtype)


def _kernel_gradient(x, dy, *, size, dilation):
    dtype = _sum_dtype(x)
    dy = dy.astype(dtype)
    sums = [(v.astype(dtype) * dy).sum((1, 2, 3)) for v in _views(x, size, dilation)]
    return jnp.stack(sums, axis=1).reshape(x.shape[0], *size, -1).astype(x.dtype)


def _kernel_gradient_cpu(x, dy, *, size, dilation):
    """Σ over pixels of x(shifted) dy, in two steps that XLA:CPU vectorises.

    XLA:CPU sums a fused product one scalar after the other. So rows are first added explicitly,
    as an elementwise loop over ROW_PARTS distant parts, and the remainder by a product with ones.
    The taps are a loop: written out they run no faster, and XLA compiles each of them anew.
    """
    dtype, (n, b, height, width, c) = _sum_dtype(x), x.shape
    part = -(-height // ROW_PARTS)
    rows = part * ROW_PARTS
    padded = _padded(x, size, dilation, rows)
    dy = jnp.pad(dy, ((0, 0), (0, 0), (0, rows - height), (0, 0), (0, 0))).astype(dtype)
    ones = jnp.ones((n, b * part * width), dtype)

    def total(tap):
        top, left = lax.div(tap, size[1]) * dilation, lax.rem(tap, size[1]) * dilation

        def product(first):
            start, shape = (0, 0, top + first, left, 0), (n, b, part, width, c)
            view = lax.dynamic_slice(padded, start, shape).astype(dtype)
            return view * dy[:, :, first : first + part]

        partial_sum = add_up(product(first) for first in range(0, rows, part))
        flat = partial_sum.reshape(n, -1, c)
        return lax.dot_general(ones, flat, (((1,), (1,)), ((0,), (0,))))

    sums = lax.map(total, jnp.arange(size[0] * size[1]))
    return sums.swapaxes(0, 1).reshape(n, *size, c).astype(x.dtype)


conv.register_lowering(depthwise_p, _forward, conv.fenced(_forward))
conv.register_lowering(depthwise_kernel_p, _kernel_gradient, conv.fenced(_kernel_gradient_cpu))

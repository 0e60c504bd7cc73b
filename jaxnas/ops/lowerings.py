"""Lowerings of `ops.conv`: how a backend computes its convolutions, and which is chosen where.

A lowering is a pair of functions on N independent kernels, which is what `vmap` over models makes:

    x (N, B, H, W, I), k (N, kh, kw, I, O)   → y  (N, B, H, W, O)
    x (N, B, H, W, I), dy (N, B, H, W, O)    → dk (N, kh, kw, I, O)

`python -m benchmarks.bench_conv` compares them on the machine it runs on.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

DIMENSIONS = ("NHWC", "HWIO", "NHWC")

# On CPU a kernel gradient of fewer output channels is a matrix product per row of taps, because
# XLA:CPU vectorises a convolution over them: 8 to 8 channels take a fifth of its time.
_WIDE = 24

# On CPU a convolution of few channels takes neighbouring pixels of a row together, until it has so
# many inputs and outputs, as long as neither side becomes wider than the last number.
LEAST_INPUTS, LEAST_OUTPUTS, MOST_CHANNELS = 8, 12, 40

# On CPU so many independent kernels are written out, more are a loop. Written out they run and
# compile faster, but the program grows with them.
UNROLLED = 8


def direct(x: jax.Array, k: jax.Array, *, dilation: int, precision: Any) -> jax.Array:
    """(B, H, W, I) and (kh, kw, I, O) → (B, H, W, O), as XLA has it."""
    return lax.conv_general_dilated(
        x,
        k,
        window_strides=(1, 1),
        padding="SAME",
        rhs_dilation=(dilation, dilation),
        dimension_numbers=DIMENSIONS,
        precision=precision,
    )


def direct_kernel(
    x: jax.Array, dy: jax.Array, *, size: tuple[int, int], dilation: int, precision: Any
) -> jax.Array:
    """The kernel gradient as a convolution: channels become the batch, the batch the channels."""
    # Without the barrier XLA folds the transposes into dimension numbers; see `_cpu_conv`.
    images, kernel = lax.optimization_barrier((x.transpose(3, 1, 2, 0), dy.transpose(1, 2, 0, 3)))
    pads = [(dilation * (s // 2), dilation * (s // 2)) for s in size]
    dk = lax.conv_general_dilated(
        images,
        kernel,
        window_strides=(dilation, dilation),
        padding=pads,
        dimension_numbers=DIMENSIONS,
        precision=precision,
    )
    return dk.transpose(1, 2, 0, 3)


def _cpu_conv(x, k, *, dilation, precision):
    if k.shape[:2] == (1, 1):
        return lax.dot_general(x, k[0, 0], (((3,), (0,)), ((), ())), precision=precision)
    pixels = _pixels_together(x.shape[2], *k.shape[2:])
    # The barrier keeps a transposed kernel from being folded into the dimension numbers: inside a
    # loop XLA:CPU has a fast path for NHWC and HWIO alone.
    if pixels == 1:
        return direct(x, lax.optimization_barrier(k), dilation=dilation, precision=precision)
    kernel = lax.optimization_barrier(_row_kernel(k, pixels, dilation))
    y = lax.conv_general_dilated(
        x.reshape(*x.shape[:2], -1, pixels * x.shape[3]),
        kernel,
        window_strides=(1, 1),
        padding=[(dilation * (k.shape[0] // 2),) * 2, (kernel.shape[1] // 2,) * 2],
        rhs_dilation=(dilation, 1),
        dimension_numbers=DIMENSIONS,
        precision=precision,
    )
    return y.reshape(*x.shape[:3], -1)


def _pixels_together(width: int, inputs: int, outputs: int) -> int:
    """The number of pixels of a row to take as the channels of one, a power of two."""
    n = 1
    while (
        (n * inputs < LEAST_INPUTS or n * outputs < LEAST_OUTPUTS)
        and 2 * n * max(inputs, outputs) <= MOST_CHANNELS
        and width % (2 * n) == 0
    ):
        n *= 2
    return n


def _row_kernel(k, n, dilation):
    """The kernel (kh, kw, I, O) for n pixels at a time, undilated along a row: (kh, K, n I, n O).

    Pixel p of y reads x[p + d (j - kw//2)]. With p = n q + r, that is pixel s of the block q + t
    where n t + s = r + d (j - kw//2): the taps, moved by r, at inputs (t, s) and outputs r.
    """
    kh, _, inputs, outputs = k.shape
    reach = dilation * (k.shape[1] // 2)
    blocks = -(-reach // n)  # on either side
    none = (0, 0, 0)
    moved = []
    for r in range(n):
        before = n * blocks - reach + r
        after = n * blocks - reach + n - 1 - r
        taps = (before, after, dilation - 1)
        moved.append(lax.pad(k, jnp.zeros((), k.dtype), (none, taps, none, none)))
    return jnp.stack(moved, axis=3).reshape(kh, 2 * blocks + 1, n * inputs, n * outputs)


def _cpu_conv_kernel(x, dy, *, size, dilation, precision):
    inputs, outputs, taps = x.shape[3], dy.shape[3], size[0] * size[1]
    if taps > 1 and outputs >= _WIDE:
        return direct_kernel(x, dy, size=size, dilation=dilation, precision=precision)
    if taps == 1:
        # One contracted axis: for several XLA:CPU would transpose both operands first.
        dk = lax.dot_general(
            x.reshape(-1, inputs),
            dy.reshape(-1, outputs),
            (((0,), (0,)), ((), ())),
            precision=precision,
        )
        return dk.reshape(*size, inputs, outputs)
    # dk = Σ_p x[p + t] dy[p] = Σ_q x[q] dy[q - t]: shift the side that has fewer channels.
    if inputs <= outputs:
        return _shifted_products(x, dy, size, dilation, precision)
    dk = _shifted_products(dy, x, size, dilation, precision)
    return dk[::-1, ::-1].swapaxes(2, 3)


def _shifted_products(x, y, size, dilation, precision):
    """Σ_p x[p + t] y[p] for every tap t: (B, H, W, I) and (B, H, W, O) → (kh, kw, I, O).

    All taps at once would need the memory of kh kw images.
    """
    (kh, kw), (_, height, width, inputs) = size, x.shape
    top, left = dilation * (kh // 2), dilation * (kw // 2)
    planes = jnp.pad(x.transpose(3, 0, 1, 2), ((0, 0), (0, 0), (top, top), (left, left)))
    y = y.reshape(-1, y.shape[3])

    def row(i):
        rows = planes[:, :, i : i + height]
        views = [rows[..., j : j + width] for j in range(0, dilation * kw, dilation)]
        flat = jnp.concatenate(views).reshape(kw * inputs, -1)
        return jnp.matmul(flat, y, precision=precision).reshape(kw, inputs, -1)

    return jnp.stack([row(i) for i in range(0, dilation * kh, dilation)])


def _in_turn(one: Any) -> Any:
    """One kernel after the other: written out for a few, which spares the copies of a loop."""

    def run(a, b, **params):
        if a.shape[0] <= UNROLLED:
            return jnp.stack([one(*ab, **params) for ab in zip(a, b)])
        return lax.map(lambda ab: one(*ab, **params), (a, b))

    return run


def _at_once(one: Any) -> Any:
    """All N kernels as one grouped convolution."""
    return lambda a, b, **params: jax.vmap(partial(one, **params))(a, b)


def _im2col(x, k, *, dilation, precision):
    """One product of the pixels' neighbourhoods with the kernels, batched over N."""
    n, outputs = k.shape[0], k.shape[4]
    patches = _patches(x, k.shape[1:3], dilation)
    y = jnp.matmul(patches, k.reshape(n, -1, outputs), precision=precision)
    return y.reshape(*x.shape[:4], outputs)


def _im2col_kernel(x, dy, *, size, dilation, precision):
    n, inputs, outputs = x.shape[0], x.shape[4], dy.shape[4]
    patches = _patches(x, size, dilation).swapaxes(1, 2)
    dk = jnp.matmul(patches, dy.reshape(n, -1, outputs), precision=precision)
    return dk.reshape(n, *size, inputs, outputs)


def _patches(x, size, dilation):
    """The neighbourhood of every pixel: (N, B, H, W, I) → (N, B H W, kh kw I)."""
    (kh, kw), (n, _, height, width, _) = size, x.shape
    top, left = dilation * (kh // 2), dilation * (kw // 2)
    padded = jnp.pad(x, ((0, 0), (0, 0), (top, top), (left, left), (0, 0)))
    views = [
        padded[:, :, i : i + height, j : j + width]
        for i in range(0, dilation * kh, dilation)
        for j in range(0, dilation * kw, dilation)
    ]
    patches = jnp.concatenate(views, axis=-1)
    return patches.reshape(n, -1, patches.shape[-1])


def _triton(x, k, **options):
    from jaxnas.ops.triton_conv import triton_conv  # Pallas takes a while to import

    return triton_conv(x, k, **options)


def _triton_kernel(x, dy, **options):
    from jaxnas.ops.triton_conv import triton_conv_kernel

    return triton_conv_kernel(x, dy, **options)


LOWERINGS: dict[str, tuple[Callable[..., jax.Array], Callable[..., jax.Array]]] = {
    # Written for XLA:CPU, one kernel after the other.
    "cpu": (_in_turn(_cpu_conv), _in_turn(_cpu_conv_kernel)),
    # XLA's own, one kernel after the other.
    "loop": (_in_turn(direct), _in_turn(direct_kernel)),
    # XLA's own, all kernels as the groups of one convolution.
    "grouped": (_at_once(direct), _at_once(direct_kernel)),
    # A batched product; needs the memory of kh kw images.
    "im2col": (_im2col, _im2col_kernel),
    # Programs of our own for GPUs; interpreted elsewhere.
    "triton": (_triton, _triton_kernel),
}

# The lowering of every backend. On CPU a grouped convolution takes four times as long as the loop,
# and the gradients of XLA's own convolution forty times as long within one. Of accelerators nothing
# is known here but that a loop leaves them idle between small kernels.
CHOICE = {"cpu": "cpu", "default": "grouped"}

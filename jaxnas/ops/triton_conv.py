"""Convolutions of N independent kernels as Triton programs, for GPUs.

A grouped convolution leaves cuDNN's fast paths, and im2col writes kh·kw images to memory. Here a
program owns a strip of a row of y and adds up, in registers, the products of the taps with the
strips of x that they read; the programs of a kernel gradient own a tap of one image each. Widths
and channels are padded to the powers of two that Triton wants.

`ops.lowerings` lists this as `triton`; on other backends Pallas interprets it, which is for tests.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

LEAST, STRIP = 16, 64  # sides of a product: at least, and of pixels at most


def triton_conv(x: jax.Array, k: jax.Array, *, dilation: int, precision: Any) -> jax.Array:
    """x (N, B, H, W, I), k (N, kh, kw, I, O) → (N, B, H, W, O) in the dtype of x.

    Sums are float32 at least; `precision` is that of a product, as `jnp.dot` takes it.
    """
    (n, batch, height, width, _), (kh, kw), outputs = x.shape, k.shape[1:3], k.shape[4]
    strip, x = _strips(x, (kh, kw), dilation)
    k = _padded(k, 3, 4)
    strips, wide = -(-width // strip), k.shape[4]

    def program(x_ref, k_ref, y_ref):
        row, first = pl.program_id(2), strip * pl.program_id(3)

        def add_row(i, total):
            for j in range(kw):
                read = x_ref[row + i * dilation, pl.ds(first + j * dilation, strip), :]
                total += _dot(read, k_ref[i, j], precision)
            return total

        total = jnp.zeros((strip, wide), _sum_dtype(x))
        y_ref[...] = lax.fori_loop(0, kh, add_row, total).astype(y_ref.dtype)

    y = _call(
        program,
        grid=(n, batch, height, strips),
        in_specs=[
            pl.BlockSpec((None, None, *x.shape[2:]), lambda n, b, h, w: (n, b, 0, 0, 0)),
            pl.BlockSpec((None, *k.shape[1:]), lambda n, b, h, w: (n, 0, 0, 0, 0)),
        ],
        out_specs=pl.BlockSpec((None, None, None, strip, wide), lambda n, b, h, w: (n, b, h, w, 0)),
        out_shape=jax.ShapeDtypeStruct((n, batch, height, strips * strip, wide), x.dtype),
    )(x, k)
    return y[:, :, :, :width, :outputs]


def triton_conv_kernel(
    x: jax.Array, dy: jax.Array, *, size: tuple[int, int], dilation: int, precision: Any
) -> jax.Array:
    """x (N, B, H, W, I), dy (N, B, H, W, O) → dk (N, kh, kw, I, O) in the dtype of x."""
    (n, batch, height, width, inputs), outputs = x.shape, dy.shape[4]
    strip, x = _strips(x, size, dilation)
    strips = -(-width // strip)
    right = ((0, 0),) * 3 + ((0, strips * strip - width), (0, 0))
    dy = _padded(jnp.pad(dy, right), 4)
    tall, wide = x.shape[4], dy.shape[4]

    def program(x_ref, dy_ref, dk_ref):
        top, left = dilation * pl.program_id(2), dilation * pl.program_id(3)

        def add_strip(index, total):
            row, first = lax.div(index, strips), strip * lax.rem(index, strips)
            read = x_ref[top + row, pl.ds(left + first, strip), :]
            return total + _dot(read.T, dy_ref[row, pl.ds(first, strip), :], precision)

        total = jnp.zeros((tall, wide), _sum_dtype(x))
        dk_ref[...] = lax.fori_loop(0, height * strips, add_strip, total)

    dk = _call(
        program,
        grid=(n, batch, *size),
        in_specs=[
            pl.BlockSpec((None, None, *x.shape[2:]), lambda n, b, i, j: (n, b, 0, 0, 0)),
            pl.BlockSpec((None, None, *dy.shape[2:]), lambda n, b, i, j: (n, b, 0, 0, 0)),
        ],
        out_specs=pl.BlockSpec(
            (None, None, None, None, tall, wide), lambda n, b, i, j: (n, b, i, j, 0, 0)
        ),
        out_shape=jax.ShapeDtypeStruct((n, batch, *size, tall, wide), _sum_dtype(x)),
    )(x, dy)
    return dk.sum(1)[..., :inputs, :outputs].astype(x.dtype)


def _strips(x, size, dilation):
    """The length of a strip, and x with the zeros that taps reach and whole strips need."""
    (kh, kw), width = size, x.shape[3]
    top, left = dilation * (kh // 2), dilation * (kw // 2)
    strip = min(STRIP, max(LEAST, pl.next_power_of_2(width)))
    right = -width % strip + left
    padded = jnp.pad(x, ((0, 0), (0, 0), (top, top), (left, right), (0, 0)))
    return strip, _padded(padded, 4)


def _padded(x, *axes):
    """Zeros up to the next power of two, and to `LEAST`, along `axes` of channels."""
    pads = [(0, 0)] * x.ndim
    for axis in axes:
        size = x.shape[axis]
        pads[axis] = (0, max(LEAST, pl.next_power_of_2(size)) - size)
    return jnp.pad(x, pads)


def _sum_dtype(x):
    return jnp.promote_types(x.dtype, jnp.float32)


def _dot(a, b, precision):
    return jnp.dot(a, b, precision=precision, preferred_element_type=_sum_dtype(a))


def _call(program, **options):
    """`pl.pallas_call`, compiled on an NVIDIA GPU and interpreted elsewhere."""
    parameters = triton.CompilerParams(num_warps=4, num_stages=2)
    compiled = pl.pallas_call(program, compiler_params=parameters, **options)
    interpreted = pl.pallas_call(program, interpret=True, **options)
    return lambda *args: lax.platform_dependent(*args, cuda=compiled, default=interpreted)

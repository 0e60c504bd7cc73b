"""Halving, doubling and changing the resolution of NHWC images, and pooling that keeps it."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def _blocks(x: jax.Array) -> jax.Array:
    """The 2x2 blocks (B, H//2, 2, W//2, 2, C); an odd last row or column is dropped."""
    b, h, w, c = x.shape
    return x[:, : h // 2 * 2, : w // 2 * 2].reshape(b, h // 2, 2, w // 2, 2, c)


def max_pool2(x: jax.Array) -> jax.Array:
    """The maximum of every 2x2 block, (B, H, W, C) → (B, H//2, W//2, C).

    Among equal maxima the first in row order takes the gradient, as in PyTorch.
    """
    blocks = _blocks(x)
    a, b, c, d = (
        blocks[:, :, 0, :, 0],
        blocks[:, :, 0, :, 1],
        blocks[:, :, 1, :, 0],
        blocks[:, :, 1, :, 1],
    )
    return _first_max(_first_max(a, b), _first_max(c, d))


def _first_max(a: jax.Array, b: jax.Array) -> jax.Array:
    # Not (a < b) lets NaN of a through; b's NaN must pass too.
    return jnp.where((a < b) | jnp.isnan(b), b, a)


def avg_pool2(x: jax.Array) -> jax.Array:
    """The mean of every 2x2 block, (B, H, W, C) → (B, H//2, W//2, C)."""
    return _blocks(x).mean((2, 4))


def max_pool3(x: jax.Array) -> jax.Array:
    """The maximum of the 3x3 neighbourhood of every pixel, (B, H, W, C) → same; stride one."""
    return _neighbours(_neighbours(x, 1, -jnp.inf, jnp.maximum), 2, -jnp.inf, jnp.maximum)


def avg_pool3(x: jax.Array) -> jax.Array:
    """The mean of the 3x3 neighbourhood of every pixel, (B, H, W, C) → same; stride one.

    Of the pixels inside the image: the border is not counted.
    """
    total = _neighbours(_neighbours(x, 1, 0.0, jnp.add), 2, 0.0, jnp.add)
    rows, columns = (_inside(size) for size in x.shape[1:3])
    count = rows[:, None] * columns[None]
    return total / jnp.asarray(count, x.dtype)[None, :, :, None]


def _neighbours(x, axis, border, combine):
    """Combines every sample with the one before and the one after it along `axis`."""
    pads = [(1, 1) if a == axis else (0, 0) for a in range(x.ndim)]
    padded, size = jnp.pad(x, pads, constant_values=border), x.shape[axis]
    views = [lax.slice_in_dim(padded, i, i + size, axis=axis) for i in range(3)]
    return combine(combine(views[0], views[1]), views[2])


def _inside(size: int) -> np.ndarray:
    """The number of neighbours of every sample, out of three, that exist."""
    return np.convolve(np.ones(size), np.ones(3), "full")[1:-1]


def resize(x: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Bilinear resizing whose corners stay where they are (`align_corners=True`).

    (B, H, W, C) → (B, *size, C); output i of n reads position i (H − 1)/(n − 1).
    """
    return _interpolate(_interpolate(x, 1, size[0]), 2, size[1])


def _interpolate(x: jax.Array, axis: int, size: int) -> jax.Array:
    old = x.shape[axis]
    if old == size:
        return x
    position = np.linspace(0, old - 1, size) if size > 1 else np.zeros(1)
    lower = np.floor(position).astype(int)
    upper = np.minimum(lower + 1, old - 1)
    shape = [size if a == axis else 1 for a in range(x.ndim)]
    share = jnp.asarray((position - lower).reshape(shape), x.dtype)
    return (1 - share) * jnp.take(x, lower, axis) + share * jnp.take(x, upper, axis)


def upsample2(x: jax.Array) -> jax.Array:
    """Bilinear doubling with half-pixel centres (`align_corners=False`): (B, 2H, 2W, C).

    Every new sample is 3/4 of the nearest old one and 1/4 of the next; the border repeats.
    """
    return _double(_double(x, 1), 2)


def _double(x: jax.Array, axis: int) -> jax.Array:
    size = x.shape[axis]
    first = lax.slice_in_dim(x, 0, 1, axis=axis)
    last = lax.slice_in_dim(x, size - 1, size, axis=axis)
    before = lax.concatenate([first, lax.slice_in_dim(x, 0, size - 1, axis=axis)], axis)
    after = lax.concatenate([lax.slice_in_dim(x, 1, size, axis=axis), last], axis)
    pair = jnp.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis + 1)
    return pair.reshape(*x.shape[:axis], 2 * size, *x.shape[axis + 1 :])


def conv_transpose2(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Transposed 2x2 convolution of stride two: y[2h + i, 2w + j] = x[h, w] kernel[i, j].

    Args:
      x: (B, H, W, I).
      kernel: (2, 2, I, O), same dtype.

    Returns:
      (B, 2H, 2W, O).

    Raises:
      ValueError: the kernel does not fit.
    """
    if kernel.ndim != 4 or kernel.shape[:3] != (2, 2, x.shape[-1]):
        raise ValueError(f"expected a kernel (2, 2, {x.shape[-1]}, O), found {kernel.shape}")
    b, h, w, _ = x.shape
    # Blocks do not overlap: one matrix product gives all four taps.
    y = lax.dot_general(x, kernel, (((3,), (2,)), ((), ())))  # (B, H, W, 2, 2, O)
    return y.transpose(0, 1, 3, 2, 4, 5).reshape(b, 2 * h, 2 * w, -1)

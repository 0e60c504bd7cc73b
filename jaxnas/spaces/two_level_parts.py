"""The parts of every network on the grid besides the operations of its cells: stem, scaling, head.

Scale s has `channels`·2^s channels and 1/2^s of the rows and columns. The scaling ends a cell: it
brings the concatenated nodes to the channels and the size of the tile the cell leads to, in the
order that computes least (a 1×1 convolution and bilinear interpolation commute).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnas.ops.conv import Conv, uniform_fan_in
from jaxnas.ops.grouped import strided_conv2d
from jaxnas.ops.norm import BatchNorm
from jaxnas.ops.resample import max_pool2, upsample2
from jaxnas.spaces.grid import CELL_TYPES, Grid

CLASS_COUNT = 4
STEM_GAIN = 2.0  # keeps the variance behind a ReLU


class Stem(nn.Module):
    """Twice a 3×3 convolution, BN and ReLU; the first one takes every `stride`-th pixel."""

    channels: int
    stride: int = 2
    affine: bool = True
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """(B, H, W, any) → (B, H/stride, W/stride, channels)."""
        x = x.astype(self.dtype or x.dtype)
        shape = (3, 3, x.shape[-1], self.channels)
        kernel = self.param("kernel", uniform_fan_in(STEM_GAIN), shape).astype(x.dtype)
        x = strided_conv2d(x, kernel, stride=self.stride)
        x = nn.relu(BatchNorm(affine=self.affine, name="norm0")(x, train=train))
        x = Conv(self.channels, gain=STEM_GAIN, name="conv")(x)
        return nn.relu(BatchNorm(affine=self.affine, name="norm1")(x, train=train))


class Scaling(nn.Module):
    """ReLU, 1×1 convolution and BN to `features` channels, and the change of scale.

    `cell` is a cell type: `contract` pools first, `expand` interpolates last.
    """

    cell: str
    features: int
    affine: bool = True
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """The concatenated nodes (B, H, W, any) → (B, H', W', features)."""
        if self.cell not in CELL_TYPES:
            raise ValueError(f"expected a cell type out of {CELL_TYPES}, found {self.cell!r}")
        x = x.astype(self.dtype or x.dtype)
        if self.cell == "contract":
            x = max_pool2(x)
        x = Conv(self.features, (1, 1), gain=STEM_GAIN, name="conv")(nn.relu(x))
        x = BatchNorm(affine=self.affine, name="norm")(x, train=train)
        return upsample2(x) if self.cell == "expand" else x


class Head(nn.Module):
    """A 1×1 convolution to logits, and bilinear interpolation by 2^`doublings`."""

    doublings: int
    classes: int = CLASS_COUNT
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(B, h, w, C) → float32 (B, h·2^doublings, w·2^doublings, classes)."""
        x = x.astype(self.dtype or x.dtype)
        x = Conv(self.classes, (1, 1), use_bias=True, name="conv")(x).astype(jnp.float32)
        for _ in range(self.doublings):
            x = upsample2(x)
        return x


def head_doublings(scale: int, stem_stride: int) -> int:
    """The number of doublings from the logits of a tile at `scale` to the size of the image."""
    return scale + stem_stride.bit_length() - 1


def end_scales(grid: Grid) -> tuple[int, ...]:
    """The scales at which paths of a grid end, ascending: each has a head."""
    ends = (grid.forward_counts()[-1] > 0) & (grid.backward_counts()[-1] > 0)
    return tuple(np.flatnonzero(ends).tolist())


def check_image(x: jax.Array, *, scales: int, stem_stride: int) -> None:
    """Raises ValueError unless every one of `scales` scales of (B, H, W, C) has whole sides."""
    step = stem_stride * 2 ** (scales - 1)
    if x.ndim != 4 or x.shape[1] % step or x.shape[2] % step:
        raise ValueError(f"expected (B, H, W, C), H and W divisible by {step}, found {x.shape}")

"""A plain 2D U-net for segmentation (Ronneberger et al., 2015) with batch normalisation.

With 16 channels and three poolings 0.48 M parameters.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnas.models.unet import check_size, pad_to
from jaxnas.ops.conv import PYTORCH_GAIN, Conv, uniform_fan_in
from jaxnas.ops.norm import BatchNorm
from jaxnas.ops.resample import conv_transpose2, max_pool2

RELU_GAIN = 2.0  # keeps the variance behind a ReLU


class BatchNormConv(nn.Module):
    """Twice a 3 × 3 convolution, BN and ReLU: (B, H, W, any) to (B, H, W, features)."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Returns (B, H, W, features)."""
        for index in range(2):
            x = Conv(self.features, gain=RELU_GAIN, name=f"conv{index}")(x)
            x = nn.relu(BatchNorm(name=f"norm{index}")(x, train=train))
        return x


class UNet2d(nn.Module):
    """Images (B, H, W, any), sides of at least 2^levels, to logits float32 (B, H, W, classes).

    `channels` is the width before the first of `levels` poolings; each doubles it.
    """

    channels: int = 16
    levels: int = 3
    classes: int = 4
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Returns the logits, float32."""
        check_size(x, self.levels)
        x, skips = x.astype(self.dtype), []
        for level in range(self.levels):
            x = BatchNormConv(self.channels * 2**level, name=f"down{level}")(x, train=train)
            skips.append(x)
            x = max_pool2(x)
        x = BatchNormConv(self.channels * 2**self.levels, name="bottom")(x, train=train)
        for level in reversed(range(self.levels)):
            width = self.channels * 2**level
            kernel = self.param(
                f"upsample{level}", uniform_fan_in(PYTORCH_GAIN), (2, 2, x.shape[-1], width)
            )
            x = pad_to(conv_transpose2(x, kernel.astype(x.dtype)), skips[level])
            x = jnp.concatenate([skips[level], x], axis=-1)
            x = BatchNormConv(width, name=f"up{level}")(x, train=train)
        return Conv(self.classes, (1, 1), use_bias=True, name="head")(x).astype(jnp.float32)


def unet2d(*, channels: int, classes: int, dtype: Any) -> nn.Module:
    """The plain U-net of the given width."""
    return UNet2d(channels, classes=classes, dtype=dtype)

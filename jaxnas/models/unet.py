"""The U-net of fastMRI's first release, without normalisation.

Zbontar et al., "fastMRI: an open dataset and benchmarks for accelerated MRI" (2018): max-pooling,
bilinear upsampling, a bottleneck that keeps its channels, three 1 × 1 convolutions at the end.
Yan et al. (NAS-CSMRI) compare with it and leave out its instance normalisation, which has no
parameters. With 2 channels in and out, 32 channels and 4 levels: 3,348,536.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnas.ops.conv import Conv
from jaxnas.ops.resample import max_pool2, upsample2
from jaxnas.spaces.section import NetworkConfig
from jaxnas.spaces.unrolled import PostProcessing


class DoubleConv(nn.Module):
    """Twice a biased 3 × 3 convolution and ReLU: (B, H, W, C) to (B, H, W, features)."""

    features: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns (B, H, W, features) in `dtype`."""
        for name in ("conv1", "conv2"):
            x = nn.relu(Conv(self.features, use_bias=True, dtype=self.dtype, name=name)(x))
        return x


class UNet(nn.Module):
    """(B, H, W, C) to (B, H, W, features) through `levels` poolings; sides of at least 2^levels."""

    features: int = 2
    channels: int = 32
    levels: int = 4
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps float32 (B, H, W, C) to (B, H, W, features)."""
        check_size(x, self.levels)
        widths = [self.channels * 2**n for n in range(self.levels)]
        skips = []
        for n, width in enumerate(widths):
            x = DoubleConv(width, self.dtype, name=f"down{n}")(x)
            skips.append(x)
            x = max_pool2(x)
        x = DoubleConv(widths[-1], self.dtype, name="bottom")(x)
        for n in reversed(range(self.levels)):
            x = jnp.concatenate([pad_to(upsample2(x), skips[n]), skips[n]], axis=-1)
            x = DoubleConv(widths[max(n - 1, 0)], self.dtype, name=f"up{n}")(x)
        for n, width in enumerate((self.channels // 2, self.features, self.features)):
            x = Conv(width, (1, 1), use_bias=True, dtype=self.dtype, name=f"tail{n}")(x)
        return x


def check_size(x: jax.Array, levels: int) -> None:
    """Refuses an image that `levels` halvings would make vanish."""
    if min(x.shape[1:3]) < 2**levels:
        raise ValueError(
            f"a U-net of {levels} levels needs sides of at least {2**levels}, got shape {x.shape}"
        )


def pad_to(x: jax.Array, reference: jax.Array) -> jax.Array:
    """Reflects the last row and column of (B, H, W, C) where pooling dropped an odd one."""
    rows, columns = (b - a for a, b in zip(x.shape[1:3], reference.shape[1:3]))
    return jnp.pad(x, ((0, 0), (0, rows), (0, columns), (0, 0)), mode="reflect")


def unet(config: NetworkConfig) -> nn.Module:
    """The U-net on the zero-filled image."""
    return PostProcessing(partial(UNet, channels=config.channels, dtype=config.dtype))

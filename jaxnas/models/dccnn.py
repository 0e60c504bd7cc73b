"""DCCNN: a cascade of residual convolutional networks with data consistency.

Schlemper et al., "A deep cascade of convolutional neural networks for dynamic MR image
reconstruction" (2018), as re-implemented by Yan et al. (NAS-CSMRI) with residual blocks without
normalisation: 170,022 parameters with 3 blocks and 3 cascades, 613,926 with 11 blocks.
"""

from functools import partial
from typing import Any

import jax
from flax import linen as nn

from jaxnas.ops.conv import Conv
from jaxnas.spaces.section import NetworkConfig
from jaxnas.spaces.unrolled import unroll


class ResidualBlock(nn.Module):
    """x + conv(ReLU(conv(x))), 3 × 3, on (B, H, W, C)."""

    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns (B, H, W, C) in `dtype`."""
        conv = partial(Conv, x.shape[-1], use_bias=True, dtype=self.dtype)
        return x + conv(name="conv2")(nn.relu(conv(name="conv1")(x)))


class ResidualDenoiser(nn.Module):
    """x + tail(blocks(stem(x))): the reconstruction module of DCCNN and MoDL."""

    channels: int = 32
    blocks: int = 3
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps float32 (B, H, W, 2) to (B, H, W, 2)."""
        h = Conv(self.channels, use_bias=True, dtype=self.dtype, name="stem")(x)
        for n in range(self.blocks):
            h = ResidualBlock(dtype=self.dtype, name=f"block{n}")(h)
        return x + Conv(x.shape[-1], use_bias=True, dtype=self.dtype, name="tail")(h)


def dccnn(config: NetworkConfig, *, blocks: int = 3) -> nn.Module:
    """The cascade, each denoiser with weights of its own."""
    denoiser = partial(ResidualDenoiser, config.channels, blocks, config.dtype)
    return unroll(config, denoiser)


dccnn_11 = partial(dccnn, blocks=11)

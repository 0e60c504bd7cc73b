"""The hand-made cascades of denoisers with data consistency: DCCNN, MoDL, RDN, one of FedAutoMRI.

DCCNN: Schlemper et al., "A deep cascade of convolutional neural networks for dynamic MR image
reconstruction" (2018), as re-implemented by Yan et al. (NAS-CSMRI) with residual blocks without
normalisation: 170,022 parameters with 3 blocks and 3 cascades, 613,926 with 11 blocks.

MoDL: DCCNN's cascade with one denoiser for all iterations. Aggarwal et al., "MoDL: model-based deep
learning architecture for inverse problems" (2019), as re-implemented by Yan et al.: 56,674
parameters with 3 residual blocks, 204,642 with 11, and one more where λ is learned.

RDN: a cascade of recursive dilated networks. Sun et al., "Compressed sensing MRI using a recursive
dilated network" (AAAI 2018), sized by Yan et al.: 86,790 parameters whatever the number of
recursions.

The network designed by hand that FedAutoMRI's searched one is compared with (Table 2): Wu et al.
print 0.26 M parameters and 85.65 G at 256² without a drawing. Both follow from MoDL with a plain
denoiser: nine 3 × 3 convolutions with biases, 64 channels between them, in five iterations with the
same weights: 260,866 parameters, and one more where λ is learned.
"""

from functools import partial
from typing import Any

import jax
from flax import linen as nn

from jaxnas.ops.conv import Conv
from jaxnas.spaces.section import NetworkConfig
from jaxnas.spaces.unrolled import unroll

DILATIONS = (1, 2, 3)


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


def modl(config: NetworkConfig, *, blocks: int = 3) -> nn.Module:
    """The cascade, one denoiser with the same weights throughout."""
    denoiser = partial(ResidualDenoiser, config.channels, blocks, config.dtype)
    return unroll(config, denoiser, shared=True)


modl_11 = partial(modl, blocks=11)


class RecursiveDilatedDenoiser(nn.Module):
    """x + tail(h), where h ← dilated₃(dilated₂(dilated₁(h))) + stem(x) is repeated.

    Stem and dilated convolutions are 3 × 3 and followed by a leaky ReLU of slope 0.01.
    """

    channels: int = 32
    recursions: int = 3
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps float32 (B, H, W, 2) to (B, H, W, 2)."""
        conv = partial(Conv, use_bias=True, dtype=self.dtype)
        dilated = [conv(self.channels, dilation=d, name=f"dilated{d}") for d in DILATIONS]
        stem = nn.leaky_relu(conv(self.channels, name="stem")(x))
        h = stem
        for _ in range(self.recursions):
            for layer in dilated:
                h = nn.leaky_relu(layer(h))
            h = h + stem
        return x + conv(x.shape[-1], name="tail")(h)


def rdn(config: NetworkConfig, *, recursions: int = 3) -> nn.Module:
    """The cascade, each denoiser with weights of its own."""
    denoiser = partial(RecursiveDilatedDenoiser, config.channels, recursions, config.dtype)
    return unroll(config, denoiser)


rdn_8 = partial(rdn, recursions=8)


class PlainDenoiser(nn.Module):
    """x + the correction of `layers` 3 × 3 convolutions, a ReLU between any two."""

    channels: int = 64
    layers: int = 9
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps float32 (B, H, W, 2) to (B, H, W, 2)."""
        conv = partial(Conv, use_bias=True, dtype=self.dtype)
        h = x
        for n in range(self.layers - 1):
            h = nn.relu(conv(self.channels, gain=1.0 if n == 0 else 2.0, name=f"conv{n}")(h))
        return x + conv(x.shape[-1], name=f"conv{self.layers - 1}")(h)


def fedautomri_baseline(config: NetworkConfig, *, channels: int = 64) -> nn.Module:
    """The cascade, one denoiser throughout; its width is its own, not that of the searched cells.

    `config` gives the iterations and the data consistency.
    """
    return unroll(config, partial(PlainDenoiser, channels, dtype=config.dtype), shared=True)

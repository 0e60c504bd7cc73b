"""RDN: a cascade of recursive dilated networks with data consistency.

Sun et al., "Compressed sensing MRI using a recursive dilated network" (AAAI 2018), sized by Yan et
al. (NAS-CSMRI): 86,790 parameters whatever the number of recursions.
"""

from functools import partial
from typing import Any

import jax
from flax import linen as nn

from jaxnas.ops.conv import Conv
from jaxnas.spaces.section import NetworkConfig
from jaxnas.spaces.unrolled import unroll

DILATIONS = (1, 2, 3)


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

"""The network designed by hand that FedAutoMRI's searched one is compared with (Table 2).

Wu et al. print 0.26 M parameters and 85.65 G at 256² without a drawing. Both follow from MoDL with
a plain denoiser: nine 3 × 3 convolutions with biases, 64 channels between them, in five iterations
with the same weights: 260,866 parameters, and one more where λ is learned.
"""

from functools import partial
from typing import Any

import jax
from flax import linen as nn

from jaxnas.ops.conv import Conv
from jaxnas.spaces.section import NetworkConfig
from jaxnas.spaces.unrolled import unroll


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

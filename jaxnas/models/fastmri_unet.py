"""The U-net of fastMRI's library: instance normalisation and transposed convolutions.

Zbontar et al., "fastMRI: an open dataset and benchmarks for accelerated MRI" (2018), in the form
published with the code since 2020, the backbone of FedAutoMRI's baselines. With 32 channels and 4
levels: 7,756,418 parameters for 2 channels in and out, 7,756,097 for magnitudes.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnas.models.unet import check_size, pad_to
from jaxnas.ops.conv import PYTORCH_GAIN, Conv, uniform_fan_in
from jaxnas.ops.resample import avg_pool2, conv_transpose2
from jaxnas.spaces.section import NetworkConfig
from jaxnas.spaces.unrolled import PostProcessing

SLOPE = 0.2
_EPSILON = 1e-5
_ROUNDING = 1e-12  # a variance of rounding errors: images reach magnitudes of about 6


def instance_norm(x: jax.Array) -> jax.Array:
    """(x - mean) / √(variance + 10⁻⁵) over the pixels of (B, H, W, C), computed in float32.

    A channel that shows nothing becomes zero, with zero gradient. There every norm would multiply
    the gradient by 300, and an empty slice would send it to infinity within the network.
    """
    wide = x.astype(jnp.float32)
    mean = wide.mean(axis=(1, 2), keepdims=True)
    variance = jnp.square(wide - mean).mean(axis=(1, 2), keepdims=True)
    scale = jnp.where(variance > _ROUNDING, jax.lax.rsqrt(variance + _EPSILON), 0.0)
    return ((wide - mean) * scale).astype(x.dtype)


class InstanceNormConv(nn.Module):
    """Twice a 3 × 3 convolution, instance norm, leaky ReLU: to (B, H, W, features)."""

    features: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns (B, H, W, features) in `dtype`."""
        for name in ("conv1", "conv2"):
            x = Conv(self.features, dtype=self.dtype, name=name)(x)
            x = nn.leaky_relu(instance_norm(x), SLOPE)
        return x


class NormUpsample(nn.Module):
    """Transposed 2 × 2 convolution of stride 2, instance norm, leaky ReLU; a param `kernel`."""

    features: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (B, H, W, C) to (B, 2 H, 2 W, features) in `dtype`."""
        shape = (2, 2, x.shape[-1], self.features)
        kernel = self.param("kernel", uniform_fan_in(PYTORCH_GAIN), shape)
        dtype = self.dtype or x.dtype
        x = conv_transpose2(x.astype(dtype), kernel.astype(dtype))
        return nn.leaky_relu(instance_norm(x), SLOPE)


class FastmriUNet(nn.Module):
    """(B, H, W, C) to (B, H, W, features) through `levels` poolings; sides of at least 2^levels."""

    features: int = 2
    channels: int = 32
    levels: int = 4
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps float32 (B, H, W, C) to (B, H, W, features)."""
        check_size(x, self.levels)
        widths = [self.channels * 2**n for n in range(self.levels + 1)]
        skips = []
        for n, width in enumerate(widths[:-1]):
            x = InstanceNormConv(width, self.dtype, name=f"down{n}")(x)
            skips.append(x)
            x = avg_pool2(x)
        x = InstanceNormConv(widths[-1], self.dtype, name="bottom")(x)
        for n in reversed(range(self.levels)):
            x = NormUpsample(widths[n], self.dtype, name=f"upsample{n}")(x)
            x = jnp.concatenate([pad_to(x, skips[n]), skips[n]], axis=-1)
            x = InstanceNormConv(widths[n], self.dtype, name=f"up{n}")(x)
        return Conv(self.features, (1, 1), use_bias=True, dtype=self.dtype, name="tail")(x)


def fastmri_unet(config: NetworkConfig) -> nn.Module:
    """The U-net on the zero-filled image."""
    return PostProcessing(partial(FastmriUNet, channels=config.channels, dtype=config.dtype))

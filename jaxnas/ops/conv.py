"""The one home of convolution: NHWC images, zero SAME padding, stride one."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def conv2d(x: jax.Array, kernel: jax.Array, *, dilation: int = 1) -> jax.Array:
    """Convolves (B, H, W, I) with a kernel (kh, kw, I, O) to (B, H, W, O)."""
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(1, 1),
        padding="SAME",
        rhs_dilation=(dilation, dilation),
        dimension_numbers=DIMENSIONS,
    )


def depthwise_conv2d(x: jax.Array, kernel: jax.Array, *, dilation: int = 1) -> jax.Array:
    """Convolves each channel of (B, H, W, C) with its own kernel (kh, kw, C)."""
    return lax.conv_general_dilated(
        x,
        kernel[:, :, None, :],
        window_strides=(1, 1),
        padding="SAME",
        rhs_dilation=(dilation, dilation),
        dimension_numbers=DIMENSIONS,
        feature_group_count=x.shape[-1],
    )


def uniform_fan_in(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
    """Uniform in ±1/sqrt(fan_in), fan_in the product of all but the last axis."""
    fan_in = 1
    for size in shape[:-1]:
        fan_in *= size
    return jax.random.uniform(key, shape, dtype, -1.0, 1.0) / fan_in**0.5


class Conv(nn.Module):
    """A convolution layer (B, H, W, I) → (B, H, W, features) with params `kernel` (and `bias`)."""

    features: int
    kernel_size: tuple[int, int] = (3, 3)
    dilation: int = 1
    use_bias: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns the convolved image in `dtype` (the input's when None)."""
        shape = (*self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", uniform_fan_in, shape)
        dtype = self.dtype or x.dtype
        y = conv2d(x.astype(dtype), kernel.astype(dtype), dilation=self.dilation)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
            y = y + bias.astype(dtype)
        return y

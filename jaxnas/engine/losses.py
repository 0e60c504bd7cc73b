"""What a reconstruction network is trained for."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnas.core.schema import AcquisitionConfig
from jaxnas.engine.acquire import make_example
from jaxnas.engine.state import Loss
from jaxnas.mri.complexes import to_channels


def l1(image: jax.Array, target: jax.Array) -> jax.Array:
    """mean |Re(x − t)| + |Im(x − t)| over both, of complex images (B, H, W); Eq. 16.

    A float32 scalar: the mean over items, pixels and the two channels.
    """
    return jnp.mean(jnp.abs(to_channels(image) - to_channels(target)))


def reconstruction_loss(
    net: nn.Module, acquisition: AcquisitionConfig, *, rows: int | None = None
) -> Loss:
    """Returns loss(params, batch, key) -> (scalar, {}), the L1 loss in scaled units.

    `net(measurement)` is an image complex64 (B, H, W); masks, and with `rows` the strip, are drawn
    from `key` (see `make_example`).
    """

    def loss(params, batch, key):
        measurement, target = make_example(key, batch, acquisition, rows=rows)
        return l1(net.apply({"params": params}, measurement), target), {}

    return loss

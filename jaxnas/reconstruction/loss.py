"""Training losses of reconstruction networks."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnas.engine.step import TrainLoss
from jaxnas.mri.complexes import to_channels
from jaxnas.mri.section import AcquisitionConfig
from jaxnas.reconstruction.acquire import make_example


def l1(image: jax.Array, target: jax.Array) -> jax.Array:
    """mean |Re(x − t)| + |Im(x − t)| over both, of complex images (B, H, W); Eq. 16.

    A float32 scalar: the mean over items, pixels and the two channels.
    """
    return jnp.mean(jnp.abs(to_channels(image) - to_channels(target)))


def l2(image: jax.Array, target: jax.Array) -> jax.Array:
    """mean of ‖x − t‖₂ / √n over complex images (B, H, W) of n = 2HW values; Eq. 4 of FedAutoMRI.

    A float32 scalar. The norm of the equation is not squared; √n leaves strips and whole images on
    one scale.
    """
    difference = to_channels(image) - to_channels(target)
    square = jnp.mean(jnp.square(difference), axis=(1, 2, 3))
    # An empty slice is met exactly, and the root has no slope at 0: there the gradient is 0.
    missed = square > 0
    return jnp.mean(jnp.where(missed, jnp.sqrt(jnp.where(missed, square, 1.0)), 0.0))


Distance = Callable[[jax.Array, jax.Array], jax.Array]


def reconstruction_loss(
    net: nn.Module,
    acquisition: AcquisitionConfig,
    *,
    distance: Distance = l1,
    rows: int | None = None,
) -> TrainLoss:
    """Returns loss(params, batch, key) -> (scalar, {}), the `distance` in scaled units.

    `net(measurement)` is an image complex64 (B, H, W); masks, and with `rows` the strip, are drawn
    from `key` (see `make_example`).
    """

    def loss(params, batch, key):
        measurement, target = make_example(key, batch, acquisition, rows=rows)
        image: Any = net.apply({"params": params}, measurement)
        return distance(image, target), {}

    return loss

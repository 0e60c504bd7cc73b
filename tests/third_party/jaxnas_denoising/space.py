"""A space with an operation of its own: one factor per channel."""

from dataclasses import dataclass

import jax.numpy as jnp

from jaxnas.ops.candidates import Linear, Spec
from jaxnas.spaces.derive import TWO_INPUTS
from jaxnas.spaces.space import CellSpace


@dataclass(frozen=True)
class Gain(Linear):
    def specs(self, channels):
        return {"gain": Spec((1, 1, channels), 1.0)}

    def apply(self, r, kernels):
        return r * kernels["gain"]

    def scale(self, kernels, weight):
        return {"gain": weight * kernels["gain"]}

    def dense(self, kernels):
        return kernels["gain"][..., None] * jnp.eye(kernels["gain"].shape[-1])


GAIN = Gain()
GAINS = CellSpace("gains", ("gain", "std_conv_3x3", "skip_connect"), TWO_INPUTS, (("gain",),))

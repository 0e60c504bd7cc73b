"""The cost of a whole network at an image size, counted without computing anything."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnas.metrics.cost import Cost, count_cost, count_params
from jaxnas.mri.acquisition import Measurement
from jaxnas.ops.conv import reference_lowering


@dataclass(frozen=True)
class NetworkCost:
    """Trainable parameters, and the operations of one image."""

    params: int
    cost: Cost

    def to_json(self) -> dict[str, int]:
        """params, macs, and the two conventions the NAS-CSMRI paper prints as FLOPs."""
        return {
            "params": self.params,
            "macs": self.cost.macs,
            "flops": self.cost.flops,
            "flops_with_activations": self.cost.flops_with_activations,
        }


def network_cost(net: nn.Module, size: tuple[int, int], *, coils: int = 1) -> NetworkCost:
    """Parameters and operations of `net` for one image of `size` pixels; seconds, no arrays."""
    measurement = abstract_measurement(size, coils=coils)
    with reference_lowering():
        variables = jax.eval_shape(net.init, jax.random.key(0), measurement)
        cost = count_cost(net.apply, variables, measurement)
    return NetworkCost(count_params(variables["params"]), cost)


def abstract_measurement(
    size: tuple[int, int], *, batch: int = 1, coils: int = 1, points: bool = False
) -> Any:
    """Shapes and dtypes of a measurement: kspace (B, [C,] H, W), mask (B, 1, W), scale (B,).

    With `points` the mask is (B, H, W): points of k-space are sampled instead of columns.
    """
    height, width = size
    coil_axis = () if coils == 1 else (coils,)

    def zeros() -> Measurement:
        kspace = jnp.zeros((batch, *coil_axis, height, width), jnp.complex64)
        mask = jnp.zeros((batch, height if points else 1, width))
        return Measurement(kspace, mask, None if coils == 1 else kspace, jnp.zeros(batch))

    return jax.eval_shape(zeros)

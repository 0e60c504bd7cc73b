"""The candidate operations of the search spaces, each ReLU followed by one linear map.

Every convolutional candidate is `linear(ReLU(x))` without normalisation, bias or a second
non-linearity; `skip_connect` is the identity without ReLU and `none` is zero. Therefore a weighted
sum of candidates is linear in ReLU(x) too, which `ops.mixed` uses. A new candidate is a frozen
dataclass with the methods of `Linear` and a line in `OPERATIONS`, or an entry point.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnas.core.registry import Entry, Registry
from jaxnas.core.trees import add_up
from jaxnas.ops.conv import conv2d, uniform_fan_in
from jaxnas.ops.depthwise import depthwise_conv2d

Kernels = dict[str, jax.Array]
Activation = Callable[[jax.Array], jax.Array]

# Variance at the start: the first kernel of a candidate follows a ReLU, the last one is summed with
# another candidate's in a derived node. Both keep the variance of the node's inputs (He et al.).
FIRST_GAIN, LAST_GAIN = 2.0, 0.5


class Spec(NamedTuple):
    """A kernel's shape (fan-in: all axes but the last) and its gain at the start."""

    shape: tuple[int, ...]
    gain: float


def draw_kernels(
    layer: nn.Module, operation: str, like: jax.Array, *, gain: float = 1.0
) -> Kernels:
    """Declares the kernels of a convolutional candidate in `layer`, cast to the dtype of `like`.

    `gain` multiplies the variance of the last kernel at the start.
    """
    specs = OPERATIONS[operation].specs(like.shape[-1])
    last = [*specs][-1]
    specs[last] = specs[last]._replace(gain=gain * specs[last].gain)
    return {
        name: layer.param(name, uniform_fan_in(spec.gain), spec.shape).astype(like.dtype)
        for name, spec in specs.items()
    }


class Linear(Protocol):
    """A convolutional candidate, as the mixed edges need to know it."""

    def specs(self, channels: int) -> dict[str, Spec]:
        """The kernels by name, in the order they are applied."""
        ...

    def layers(self, channels: int) -> tuple[tuple[int, ...], ...]:
        """The shapes of the kernels that `apply` runs: dense, depthwise or pointwise."""
        return tuple(spec.shape for spec in self.specs(channels).values())

    def apply(self, r: jax.Array, kernels: Kernels) -> jax.Array:
        """The linear map of r = ReLU(x), (B, H, W, C) → (B, H, W, C)."""
        ...

    def scale(self, kernels: Kernels, weight: jax.Array | float) -> Kernels:
        """Kernels of `weight` times the map."""
        ...

    def dense(self, kernels: Kernels) -> jax.Array:
        """The same map as one dense kernel (kh, kw, C, C), kh and kw odd."""
        ...


@dataclasses.dataclass(frozen=True)
class Standard(Linear):
    """A dense k x k convolution, dilated or not."""

    size: int
    dilation: int = 1

    def specs(self, channels: int) -> dict[str, Spec]:
        """Implements `Linear.specs`. The one kernel is the first and the last."""
        shape = (self.size, self.size, channels, channels)
        return {"kernel": Spec(shape, FIRST_GAIN * LAST_GAIN)}

    def apply(self, r: jax.Array, kernels: Kernels) -> jax.Array:
        """Implements `Linear.apply`."""
        return conv2d(r, kernels["kernel"], dilation=self.dilation)

    def scale(self, kernels: Kernels, weight: jax.Array | float) -> Kernels:
        """Implements `Linear.scale`."""
        return {"kernel": weight * kernels["kernel"]}

    def dense(self, kernels: Kernels) -> jax.Array:
        """Implements `Linear.dense`."""
        return dilate(kernels["kernel"], self.dilation)


@dataclasses.dataclass(frozen=True)
class Separable(Linear):
    """A depthwise k x k convolution, dilated or not, and a pointwise one."""

    size: int
    dilation: int = 1

    def specs(self, channels: int) -> dict[str, Spec]:
        """Implements `Linear.specs`."""
        return {
            "depthwise": Spec((self.size, self.size, channels), FIRST_GAIN),
            "pointwise": Spec((channels, channels), LAST_GAIN),
        }

    def apply(self, r: jax.Array, kernels: Kernels) -> jax.Array:
        """Implements `Linear.apply`."""
        y = depthwise_conv2d(r, kernels["depthwise"], dilation=self.dilation)
        return conv2d(y, kernels["pointwise"][None, None])

    def scale(self, kernels: Kernels, weight: jax.Array | float) -> Kernels:
        """Implements `Linear.scale`."""
        return kernels | {"pointwise": weight * kernels["pointwise"]}

    def dense(self, kernels: Kernels) -> jax.Array:
        """Implements `Linear.dense`."""
        taps = dilate(kernels["depthwise"], self.dilation)
        return taps[:, :, :, None] * kernels["pointwise"][None, None]


@dataclasses.dataclass(frozen=True)
class Strips(Linear):
    """A depthwise k x 1 convolution and a depthwise 1 x k one."""

    size: int

    def specs(self, channels: int) -> dict[str, Spec]:
        """Implements `Linear.specs`."""
        return {
            "column": Spec((self.size, 1, channels), FIRST_GAIN),
            "row": Spec((1, self.size, channels), LAST_GAIN),
        }

    def apply(self, r: jax.Array, kernels: Kernels) -> jax.Array:
        """Implements `Linear.apply`."""
        return depthwise_conv2d(depthwise_conv2d(r, kernels["column"]), kernels["row"])

    def scale(self, kernels: Kernels, weight: jax.Array | float) -> Kernels:
        """Implements `Linear.scale`."""
        return kernels | {"row": weight * kernels["row"]}

    def dense(self, kernels: Kernels) -> jax.Array:
        """Implements `Linear.dense`. Zero padding is exact: the strips act on different axes."""
        taps = kernels["column"] * kernels["row"]
        return taps[:, :, :, None] * jnp.eye(taps.shape[2], dtype=taps.dtype)[None, None]


@dataclasses.dataclass(frozen=True)
class Pooled(Linear):
    """The mean of k x k pixels, zeros beyond the border counted, and a pointwise convolution."""

    size: int

    def specs(self, channels: int) -> dict[str, Spec]:
        """Implements `Linear.specs`. Of ReLU(x), x normal, a mean keeps the square of its mean, 1/π
        of all."""
        kept = (1 - 1 / math.pi) / self.size**2 + 1 / math.pi
        return {"pointwise": Spec((channels, channels), FIRST_GAIN * LAST_GAIN / kept)}

    def layers(self, channels: int) -> tuple[tuple[int, ...], ...]:
        """Implements `Linear.layers`."""
        return ((self.size, self.size, channels), (channels, channels))

    def apply(self, r: jax.Array, kernels: Kernels) -> jax.Array:
        """Implements `Linear.apply`."""
        y = depthwise_conv2d(r, self._mean(r.shape[-1], r.dtype))
        return conv2d(y, kernels["pointwise"][None, None])

    def scale(self, kernels: Kernels, weight: jax.Array | float) -> Kernels:
        """Implements `Linear.scale`."""
        return {"pointwise": weight * kernels["pointwise"]}

    def dense(self, kernels: Kernels) -> jax.Array:
        """Implements `Linear.dense`."""
        pointwise = kernels["pointwise"]
        mean = self._mean(pointwise.shape[0], pointwise.dtype)
        return mean[:, :, :, None] * pointwise[None, None]

    def _mean(self, channels: int, dtype: Any) -> jax.Array:
        return jnp.full((self.size, self.size, channels), self.size**-2, dtype)


def dilate(kernel: jax.Array, dilation: int) -> jax.Array:
    """Writes the zeros between the taps of a dilated kernel (kh, kw, ...)."""
    return _spread(_spread(kernel, 0, dilation), 1, dilation)


def _spread(kernel: jax.Array, axis: int, dilation: int) -> jax.Array:
    pads = [(0, 0, dilation - 1 if a == axis else 0) for a in range(kernel.ndim)]
    return jax.lax.pad(kernel, jnp.zeros((), kernel.dtype), pads)


def merge_kernels(kernels: Sequence[jax.Array]) -> jax.Array:
    """The sum of dense kernels (kh, kw, I, O), odd sizes, each centred in the largest support."""
    height, width = (max(k.shape[axis] for k in kernels) for axis in (0, 1))
    return add_up(_centre(k, height, width) for k in kernels)


def _centre(kernel: jax.Array, height: int, width: int) -> jax.Array:
    top, left = (height - kernel.shape[0]) // 2, (width - kernel.shape[1]) // 2
    return jnp.pad(kernel, ((top, top), (left, left), (0, 0), (0, 0)))


SKIP, NONE = "skip_connect", "none"

_OPERATIONS: dict[str, Linear] = {
    "sep_conv_3x3": Separable(3),
    "dil_2_conv_3x3": Separable(3, dilation=2),
    "dil_3_conv_3x3": Separable(3, dilation=3),
    "conv_9x1_1x9": Strips(9),
    "std_conv_3x3": Standard(3),
    "std_conv_5x5": Standard(5),
    "std_conv_7x7": Standard(7),
    "sep_conv_5x5": Separable(5),
    "sep_conv_7x7": Separable(7),
    "std_conv_1x1": Standard(1),
    "dil_2_std_conv_3x3": Standard(3, dilation=2),
    "dil_3_std_conv_3x3": Standard(3, dilation=3),
    "conv_3x1_1x3": Strips(3),
    "conv_5x1_1x5": Strips(5),
    "conv_7x1_1x7": Strips(7),
    "pool_conv_3x3": Pooled(3),
    "pool_conv_5x5": Pooled(5),
}
OPERATIONS = Registry(
    "operation",
    {name: Entry(operation) for name, operation in _OPERATIONS.items()},
    group="jaxnas.operations",
)

CSMRI_A_OPERATIONS = ("sep_conv_3x3", "dil_2_conv_3x3", "dil_3_conv_3x3", SKIP, NONE)
CSMRI_B_OPERATIONS = ("sep_conv_3x3", "dil_2_conv_3x3", "conv_9x1_1x9", SKIP, NONE)
FEDAUTOMRI_OPERATIONS = (
    "std_conv_3x3",
    "std_conv_5x5",
    "std_conv_7x7",
    "dil_2_conv_3x3",
    "dil_3_conv_3x3",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "sep_conv_7x7",
)


class NetworkSize(NamedTuple):
    """Parameters, and multiply-accumulates for one pixel of the output."""

    params: int = 0
    macs: int = 0

    def plus(self, params: int, macs: int | None = None) -> "NetworkSize":
        """With so many parameters more, and as many multiply-accumulates unless others are said."""
        return NetworkSize(self.params + params, self.macs + (params if macs is None else macs))

    def times(self, count: int) -> "NetworkSize":
        """So many of the same."""
        return NetworkSize(self.params * count, self.macs * count)


def operations_size(operations: Iterable[str], channels: int) -> NetworkSize:
    """The size of some candidates together; skips and `none` have none."""
    size = NetworkSize()
    for name in operations:
        if name in OPERATIONS:
            own = OPERATIONS[name]
            params = sum(math.prod(spec.shape) for spec in own.specs(channels).values())
            size = size.plus(params, sum(math.prod(shape) for shape in own.layers(channels)))
    return size


def check_operations(operations: tuple[str, ...]) -> None:
    """Raises ValueError for a name that is no candidate or that comes twice."""
    known = {*OPERATIONS, SKIP, NONE}
    if not set(operations) <= known or len(set(operations)) < len(operations):
        raise ValueError(f"expected distinct names out of {sorted(known)}, found {operations}")


class Operation(nn.Module):
    """One candidate as a layer (B, H, W, C) → (B, H, W, C), for derived cells.

    Attributes:
      operation: a name of `OPERATIONS`, `skip_connect` or `none`.
      dtype: compute dtype; None is that of the input. Parameters stay float32.
      gain: multiplies the variance of the output at the start.
      activation: what a convolution reads its input through.
    """

    operation: str
    dtype: Any = None
    gain: float = 1.0
    activation: Activation = nn.relu

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Applies the activation and the candidate."""
        check_operations((self.operation,))
        x = x.astype(self.dtype or x.dtype)
        if self.operation == SKIP:
            return x
        if self.operation == NONE:
            return jnp.zeros_like(x)
        kernels = draw_kernels(self, self.operation, x, gain=self.gain)
        return OPERATIONS[self.operation].apply(self.activation(x), kernels)

"""The cost of a linear map on a device: the seconds of its forward and backward pass.

    dense convolution   2 · 3 · pixels · kh kw I O / conv(√(I O))       the pass and two gradients
    depthwise taps          3 · pixels · kh kw C   / taps(C)
    product             2 · 3 · pixels · I O       / matmul(√(I O))
    elementwise pass    4 · numbers                / copy

and `call` for every operation that is dispatched. Few channels are slow, and how slow differs
between devices, so `matmul`, `conv` and `taps` are curves over the channels.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

BYTES = 4  # of a float32
PASSES = 3  # forward, gradient of the image, gradient of the kernel

Curve = tuple[tuple[int, float], ...]
CURVES = ("matmul", "conv", "taps")


@dataclasses.dataclass(frozen=True)
class Rates:
    """The constants of a device.

    Attributes:
      copy: bytes/s, read and written, of an elementwise pass.
      matmul: FLOP/s of a product of pixels with a matrix, with both gradients, by channels.
      conv: FLOP/s of dense convolutions with both gradients, by channels.
      taps: multiply-adds/s of depthwise convolutions with both gradients, by channels.
      call: seconds to dispatch one operation.
    """

    copy: float
    matmul: Curve
    conv: Curve
    taps: Curve
    call: float

    def to_json(self) -> dict[str, Any]:
        """The constants as a JSON value; exact."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Rates":
        """The constants of `to_json`; ValueError for anything else."""
        try:
            curves = {n: tuple((int(c), float(r)) for c, r in value[n]) for n in CURVES}
            rates = cls(copy=float(value["copy"]), call=float(value["call"]), **curves)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"expected the rates of a device, found {value!r}") from error
        numbers = [rates.copy, rates.call]
        numbers += [n for curve in curves.values() for point in curve for n in point]
        if not (all(curves.values()) and all(0 < n < math.inf for n in numbers)):
            raise ValueError(f"expected positive rates, found {value!r}")
        return rates


# For whatever is only described, not run. The CPU's were measured on two cores of an AMD EPYC; an
# accelerator's are no more than the order of magnitude that data sheets give.
BUILT_IN = {
    "cpu": Rates(
        copy=7e10,
        matmul=((8, 1.4e10), (16, 5e10), (48, 6e10)),
        conv=((8, 4e10), (16, 5e10), (48, 7e10)),
        taps=((8, 4e9), (16, 1e10), (64, 1e10)),
        call=1e-6,
    ),
    "gpu": Rates(
        copy=1e12,
        matmul=((8, 1e12), (16, 3e12), (48, 1e13)),
        conv=((8, 1e12), (16, 3e12), (48, 1e13)),
        taps=((8, 1e11), (64, 1e11)),
        call=5e-6,
    ),
}


def built_in_rates(backend: str) -> Rates:
    """The rates to reckon with where nothing is measured, by the name of JAX's backend."""
    return BUILT_IN.get(backend, BUILT_IN["gpu"])


def layer_seconds(shape: Sequence[int], pixels: int, rates: Rates) -> float:
    """The seconds of one linear layer with both gradients.

    Args:
      shape: its kernel: (kh, kw, I, O) dense, (kh, kw, C) depthwise or (I, O) pointwise.
      pixels: of the whole batch.
      rates: of the device.
    """
    calls = PASSES * rates.call
    if len(shape) == 3:
        return PASSES * pixels * math.prod(shape) / at(rates.taps, shape[-1]) + calls
    flops, channels = 2 * PASSES * pixels * math.prod(shape), math.sqrt(shape[-2] * shape[-1])
    if math.prod(shape[:-2]) == 1:
        return flops / at(rates.matmul, channels) + calls
    return flops / at(rates.conv, channels) + calls


def pass_seconds(numbers: float, rates: Rates) -> float:
    """The seconds of one elementwise operation that reads or writes so many float32 in all."""
    return BYTES * numbers / rates.copy + rates.call


def at(curve: Curve, channels: float) -> float:
    """The rate at a number of channels: linear in its logarithm, constant beyond the ends."""
    points = sorted(curve)
    if channels <= points[0][0]:
        return points[0][1]
    for (low, slow), (high, fast) in itertools.pairwise(points):
        if channels <= high:
            share = math.log(channels / low) / math.log(high / low)
            return slow + share * (fast - slow)
    return points[-1][1]

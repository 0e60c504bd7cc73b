"""The cost of a linear map on a device, in two readings: `Rates` for a search, whose plans are run
forward and backward, and `Prices` for a deployed network, which is run forward alone.

The rates of a search are seconds of its forward and backward pass:

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
from typing import Any, NamedTuple

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


class Prices(NamedTuple):
    """The charges of a device per pixel, in multiply-accumulates of a dense convolution.

    For the forward pass alone: `Rates` include both gradients, which makes depthwise convolutions
    look dear and narrow ones cheap.

    `tap` is the price of one in a depthwise convolution, `value` that of reading or writing a
    number. A dense convolution of fewer outputs than `outputs` costs as if it had so many.
    """

    tap: float
    value: float
    outputs: int = 1


class DeviceCosts(NamedTuple):
    """Both readings of one device."""

    training: Rates
    deployment: Prices


# Rates are for whatever is only described, not run: those of a CPU were measured on two cores of an
# AMD EPYC, an accelerator's are no more than the order of magnitude that data sheets give. Prices
# of a CPU as measured at 320 x 320 pixels: dense convolutions of 16 outputs and more run at 50 G
# multiply-accumulates a second, of 6 and 8 outputs at 11 to 24 G, depthwise ones at 5 to 20 G. On
# accelerators memory is what counts: their peak rates are some 30 multiply-accumulates for a
# float32.
BUILT_IN = {
    "cpu": DeviceCosts(
        Rates(
            copy=7e10,
            matmul=((8, 1.4e10), (16, 5e10), (48, 6e10)),
            conv=((8, 4e10), (16, 5e10), (48, 7e10)),
            taps=((8, 4e9), (16, 1e10), (64, 1e10)),
            call=1e-6,
        ),
        Prices(tap=2.0, value=5.0, outputs=12),
    ),
    "gpu": DeviceCosts(
        Rates(
            copy=1e12,
            matmul=((8, 1e12), (16, 3e12), (48, 1e13)),
            conv=((8, 1e12), (16, 3e12), (48, 1e13)),
            taps=((8, 1e11), (64, 1e11)),
            call=5e-6,
        ),
        Prices(tap=1.0, value=30.0),
    ),
}


def device_costs(backend: str) -> DeviceCosts:
    """The costs to reckon with where nothing is measured, by the name of JAX's backend."""
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
